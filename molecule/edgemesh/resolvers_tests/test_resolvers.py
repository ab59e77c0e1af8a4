"""Services by name on hosts that ask mDNS first, and on hosts with systemd-resolved."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from testinfra.host import Host

testinfra_hosts = ["ansible://edge"]
NAME = "named.default.svc.cluster.local"
ADDRESS = "10.96.77.7"
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "named", "namespace": "default"},
    "spec": {"clusterIP": ADDRESS, "ports": [{"port": 18051}]},
}
Eventually = Callable[..., str]
Machine = Callable[[str], Host]


@pytest.fixture(scope="module", autouse=True)
def named(kubectl: Callable[..., str]) -> Iterator[None]:
    kubectl("apply", "-f", "-", stdin=json.dumps(SERVICE))
    yield
    kubectl("delete", "service", "named")


def is_found(host: Host) -> bool:
    return ADDRESS in host.run(f"getent ahostsv4 {NAME}").stdout


def test_the_hosts_own_programs_find_it(host: Host, eventually: Eventually) -> None:
    eventually(lambda: is_found(host), f"{NAME} on {host.backend.hostname}", 40)


def test_mdns_comes_before_dns_and_has_the_last_word(machine: Machine, eventually: Eventually) -> None:
    edge1 = machine("edge1")
    line = edge1.check_output("grep ^hosts: /etc/nsswitch.conf")
    assert line.split("#")[0].split()[1:5] == ["files", "mdns4_minimal", "[NOTFOUND=return]", "dns"]
    assert edge1.service("avahi-daemon").is_running
    eventually(lambda: is_found(edge1), NAME, 40)
    assert edge1.run("getent ahostsv4 nobody.local").rc == 2, "that is mDNS's to say"


def test_systemd_resolved_asks_the_mesh_for_its_domain_alone(
    machine: Machine, eventually: Eventually
) -> None:
    edge2 = machine("edge2")
    assert edge2.file("/etc/resolv.conf").linked_to.startswith("/run/systemd/resolve/")
    eventually(lambda: is_found(edge2), NAME, 40)
    assert "169.254.96.16" in edge2.check_output("resolvectl dns edgemesh0")
    assert "~cluster.local" in edge2.check_output("resolvectl domain edgemesh0")
    edge2.check_output("systemctl stop edgemesh-agent")
    try:
        assert "169.254.96.16" not in edge2.check_output("resolvectl dns")
        assert "169.254.96.16" not in edge2.file("/etc/resolv.conf").content_string
    finally:
        edge2.check_output("systemctl start edgemesh-agent")
