"""EdgeSite on a fresh host: the API answers the administrator and nobody else, and outlives a restart."""

from __future__ import annotations

import json
from collections.abc import Callable

from testinfra.host import Host

testinfra_hosts = ["ansible://cloud"]
CODE = "curl -sk -o /dev/null -w '%{http_code}'"
CERTIFICATE = "openssl s_client -connect 127.0.0.1:6443 </dev/null 2>/dev/null | openssl x509 -noout -text"


def test_the_service_runs_now_and_after_a_reboot(host: Host) -> None:
    service = host.service("edgesite")
    assert service.is_running
    assert service.is_enabled
    assert service.systemd_properties["NRestarts"] == "0"


def test_its_state_and_the_kubeconfig_are_for_root_only(host: Host) -> None:
    state, kubeconfig = host.file("/var/lib/edgesite"), host.file("/etc/edgelab/admin.kubeconfig")
    assert (state.user, state.mode) == ("root", 0o700)
    assert (kubeconfig.user, kubeconfig.mode) == ("root", 0o600)


def test_the_api_refuses_who_has_no_certificate(host: Host) -> None:
    assert host.check_output(f"{CODE} https://127.0.0.1:6443/readyz") == "200"
    assert host.check_output(f"{CODE} https://127.0.0.1:6443/api/v1/secrets") in {"401", "403"}


def test_the_certificate_names_the_hosts_address(host: Host) -> None:
    address = host.ansible.get_variables()["edgelab_node_ip"]
    assert f"IP Address:{address}" in host.check_output(CERTIFICATE)


def test_what_was_stored_is_there_after_a_restart(host: Host, kubectl: Callable[..., str]) -> None:
    kubectl("create", "configmap", "probe", "--from-literal=word=servus")
    try:
        host.check_output("systemctl restart edgesite")
        stored = json.loads(kubectl("get", "configmap", "probe", "-o", "json"))
    finally:
        kubectl("delete", "configmap", "probe")
    assert stored["data"] == {"word": "servus"}
