"""The pod network on a fresh host: its configuration, and a namespace that the plugins connect as it says."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from testinfra.host import Host

DIRECTORY = "/etc/cni/net.d"
PLUGINS = "/usr/lib/cni"
NAMESPACE = "probe"
PORT = 8099
CONTAINER_PORT = 80


def conflist(host: Host) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(host.file(f"{DIRECTORY}/10-edgelab.conflist").content_string)
    return content


def call(host: Host, command: str, plugin: dict[str, Any], previous: dict[str, Any] | None) -> str:
    """Calls one plugin of the chain as a container runtime does."""
    whole = conflist(host)
    config = {"cniVersion": whole["cniVersion"], "name": whole["name"], **plugin}
    if plugin.get("capabilities"):
        ports = {"hostPort": PORT, "containerPort": CONTAINER_PORT, "protocol": "tcp"}
        config["runtimeConfig"] = {"portMappings": [ports]}
    if previous:
        config["prevResult"] = previous
    words = f"CNI_COMMAND={command} CNI_CONTAINERID=probe CNI_NETNS=/run/netns/{NAMESPACE} CNI_IFNAME=eth0"
    text = shlex.quote(json.dumps(config))
    return host.check_output(f"echo {text} | {words} CNI_PATH={PLUGINS} {PLUGINS}/{plugin['type']}")


@pytest.fixture(scope="module")
def connected(host: Host) -> Iterator[str]:
    """The address of a network namespace that went through the chain of plugins."""
    host.check_output(f"ip netns add {NAMESPACE}")
    plugins = conflist(host)["plugins"]
    result: dict[str, Any] | None = None
    for plugin in plugins:
        result = json.loads(call(host, "ADD", plugin, result))
    assert result
    yield result["ips"][0]["address"].split("/")[0]
    for plugin in reversed(plugins):
        call(host, "DEL", plugin, result)
    host.check_output(f"ip netns delete {NAMESPACE}")


def test_the_configuration_is_roots_and_may_be_read_by_all(host: Host) -> None:
    for path, mode in ((DIRECTORY, 0o755), (f"{DIRECTORY}/10-edgelab.conflist", 0o644)):
        file = host.file(path)
        assert (file.user, file.group, file.mode) == ("root", "root", mode)
    assert host.file(DIRECTORY).listdir() == ["10-edgelab.conflist"]


def test_the_configuration_says_what_the_inventory_says(host: Host) -> None:
    bridge, portmap = conflist(host)["plugins"]
    assert bridge["ipam"]["ranges"] == [[{"subnet": "10.250.7.0/24"}]]
    assert bridge["mtu"] == 1400
    assert bridge["ipMasq"] is True
    assert portmap["capabilities"] == {"portMappings": True}


def test_every_plugin_of_the_chain_is_installed(host: Host) -> None:
    kinds = [plugin["type"] for plugin in conflist(host)["plugins"]]
    for name in (*kinds, "host-local"):
        assert host.file(f"{PLUGINS}/{name}").mode & 0o111


def test_a_namespace_gets_an_address_and_reaches_the_node(host: Host, connected: str) -> None:
    assert connected.startswith("10.250.7.")
    inside = f"ip netns exec {NAMESPACE}"
    [link] = json.loads(host.check_output(f"{inside} ip -json link show dev eth0"))
    assert link["mtu"] == 1400
    assert "default via 10.250.7.1 dev eth0" in host.check_output(f"{inside} ip route")
    address = host.ansible.get_variables()["edgelab_node_ip"]
    host.check_output(f"{inside} ping -c 1 -W 2 {address}")


def test_a_host_port_leads_into_the_namespace(host: Host, connected: str) -> None:
    address = host.ansible.get_variables()["edgelab_node_ip"]
    server = f"ip netns exec {NAMESPACE} python3 -m http.server --directory /etc/cni {CONTAINER_PORT}"
    host.check_output(f"systemd-run --collect --unit=probe-server {server}")
    try:
        page = host.check_output(
            f"curl -sS --retry 20 --retry-delay 1 --retry-all-errors http://{address}:{PORT}/"
        )
    finally:
        host.check_output("systemctl stop probe-server")
    assert "net.d/" in page
