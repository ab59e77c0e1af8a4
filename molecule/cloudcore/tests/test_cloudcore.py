"""CloudCore on a fresh control plane: what it serves, its files, and what it put into the cluster."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://cloud"]
CONFIG = "/etc/kubeedge/config/cloudcore.yaml"
PROGRAM = "/opt/edgelab/current/bin/cloudcore"
CODE = "curl -sk -o /dev/null -w '%{http_code}'"
CERTIFICATE = "openssl s_client -connect 127.0.0.1:10002 </dev/null 2>/dev/null | openssl x509 -noout -text"
CRDS = {
    "devices.devices.kubeedge.io",
    "devicemodels.devices.kubeedge.io",
    "devicestatuses.devices.kubeedge.io",
}


def test_the_service_runs_now_and_after_a_reboot(host: Host) -> None:
    service = host.service("cloudcore")
    assert service.is_running
    assert service.is_enabled
    assert service.systemd_properties["NRestarts"] == "0"


def test_the_configuration_is_for_root_only_and_accepted_by_the_daemon(host: Host) -> None:
    file = host.file(CONFIG)
    assert (file.user, file.mode) == ("root", 0o600)
    host.check_output(f"{PROGRAM} --check-config {CONFIG}")


@pytest.mark.parametrize("port", [10000, 10002])
def test_edge_nodes_reach_its_ports(host: Host, port: int) -> None:
    address = host.ansible.get_variables()["edgelab_node_ip"]
    assert host.addr(address).port(port).is_reachable


def test_health_is_told_and_the_ca_handed_out(host: Host) -> None:
    assert host.check_output(f"{CODE} http://127.0.0.1:9091/healthz") == "200"
    subject = "curl -sk https://127.0.0.1:10002/ca.crt | openssl x509 -inform der -noout -subject"
    assert "KubeEdge" in host.check_output(subject)


def test_the_hub_refuses_who_has_no_certificate(host: Host) -> None:
    answer = host.run(f"{CODE} https://127.0.0.1:10000/e632aba927ea4ac2b575ec1603d56f10/probe/events")
    assert answer.rc != 0 or answer.stdout in {"401", "403"}


def test_the_tunnel_port_of_any_node_leads_to_cloudcore(host: Host) -> None:
    """A node's own address, at which nothing listens: whoever answers with this certificate is CloudCore."""
    own = host.ansible.get_variables()["edgelab_node_ip"]
    node = own.rpartition(".")[0] + ".251"
    shown = f"openssl s_client -connect {node}:10351 </dev/null 2>/dev/null | openssl x509 -noout -subject"
    assert "KubeEdge" in host.check_output(shown)
    assert host.service("cloudcore-redirect").is_enabled
    assert "mode: tunnelport" in host.file(CONFIG).content_string
    host.check_output("systemctl stop cloudcore-redirect")
    assert "cloudcore_redirect" not in host.check_output("nft list tables")
    host.check_output("systemctl start cloudcore-redirect")


def test_the_certificate_has_the_names_and_addresses_of_the_inventory(host: Host) -> None:
    text = host.check_output(CERTIFICATE)
    address = host.ansible.get_variables()["edgelab_node_ip"]
    for name in (f"IP Address:{address}", "DNS:cloud,", "DNS:cloud.example.com"):
        assert name in text


def test_the_cluster_has_kubeedges_namespace_and_crds(kubectl: Callable[..., str]) -> None:
    assert json.loads(kubectl("get", "namespace", "kubeedge", "-o", "json"))["status"]["phase"] == "Active"
    items = json.loads(kubectl("get", "crd", "-o", "json"))["items"]
    assert {item["metadata"]["name"] for item in items} >= CRDS
