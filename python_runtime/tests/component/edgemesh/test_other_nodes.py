"""Endpoints on two nodes and in the cloud: those here first, others by CloudCore, and without the cloud."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.component.edgemesh.lab import NODE_IP, MeshLab, curl, network, service, sh, until
from tests.component.edgemesh.othernode import HIDDEN_IP, NAME, OtherNode, echo_server, page_server
from tests.component.metaserver.lab import Process
from tests.edgemesh.objects import endpoint_slice, member

PORT = 18050
CLOUD_IP = "10.77.0.1"
"""That of a pod in the cloud, to which edge2 has no route."""
SLICE = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice"}
TCP = {"name": "page", "port": 8080, "protocol": "TCP"}
UDP = {"name": "echo", "port": 8080, "protocol": "UDP"}


def url(name: str) -> str:
    return f"http://{name}.default.svc.cluster.local:{PORT}"


def unselected(name: str) -> dict[str, Any]:
    made = service(name, "", [{**TCP, "port": PORT}, {**UDP, "port": PORT}])
    del made["spec"]["selector"]
    return made


def here(owner: str, *, ready: bool = True) -> dict[str, Any]:
    endpoint = member(NODE_IP, "edge1", conditions={"ready": ready, "serving": ready})
    return {**SLICE, **endpoint_slice(owner, endpoint, name=f"{owner}-here", ports=[TCP, UDP])}


def cloudy(owner: str) -> dict[str, Any]:
    endpoint = member(CLOUD_IP, "cloud1")
    return {**SLICE, **endpoint_slice(owner, endpoint, name=f"{owner}-cloud", ports=[TCP, UDP])}


def there(owner: str) -> dict[str, Any]:
    endpoint = member(HIDDEN_IP, NAME)
    return {**SLICE, **endpoint_slice(owner, endpoint, name=f"{owner}-there", ports=[TCP, UDP])}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeshLab]:
    directory = tmp_path_factory.mktemp("nodes")
    with pytest.MonkeyPatch.context() as patch, network(directory) as runtime:
        patch.setenv("CHECK_EDGECORE_ENVIRONMENT", "false")
        lab = MeshLab(directory, runtime)
        sh("ip", "addr", "add", f"{CLOUD_IP}/32", "dev", "lo")
        servers = [
            Process(f"{name}-{command[1]}", directory, *command, serving="Serving")
            for name, ip in (("edge1", NODE_IP), ("cloud1", CLOUD_IP))
            for command in (page_server(directory, name, ip, 8080), echo_server(name, ip, 8080))
        ]
        try:
            lab.begin()
            edge = {"node-role.kubernetes.io/edge": ""}
            for name, found in ((NAME, edge), ("cloud1", {})):
                metadata = {"name": name, "labels": found}
                lab.apply({"apiVersion": "v1", "kind": "Node", "metadata": metadata})
            lab.apply(*(unselected(name) for name in ("both", "far", "near", "cloud")))
            lab.apply(here("both"), there("both"), there("far"), here("near"), cloudy("cloud"))
            for server in servers:
                server.start()
            yield lab
        finally:
            for server in servers:
                server.stop()
            lab.finish()


@pytest.fixture(scope="module", autouse=True)
def other(lab: MeshLab) -> Iterator[OtherNode]:
    """edge2; both meshes run."""
    other = OtherNode(lab)
    try:
        other.start()
        other.serve(8080)
        lab.mesh.start()
        until(lambda: "the mesh agent of edge2 is connected" in lab.cloud.text(), "edge2's agent")
        yield other
    finally:
        lab.mesh.stop()
        other.stop()


def address(lab: MeshLab, name: str) -> str:
    return lab.kubectl("get", "service", name, "-o", "jsonpath={.spec.clusterIP}")


async def says(name: str, text: str) -> None:
    """Ask until the answer is that one."""
    async with asyncio.timeout(40):
        while await curl(url(name)) != text:
            await asyncio.sleep(0.1)


async def test_an_endpoint_on_another_node_is_reached_through_cloudcore(lab: MeshLab) -> None:
    await says("far", "edge2")
    with pytest.raises(OSError, match=r"unreachable|timed out"):
        socket.create_connection((HIDDEN_IP, 8080), 2)


async def test_an_endpoint_here_goes_before_others(lab: MeshLab) -> None:
    await says("both", "edge1")
    assert {await curl(url("both")) for _ in range(10)} == {"edge1"}


async def test_others_take_over_when_the_endpoint_here_is_not_ready(lab: MeshLab) -> None:
    lab.apply(here("both", ready=False))
    await says("both", "edge2")
    lab.apply(here("both"))
    await says("both", "edge1")


async def test_datagrams_are_brought_there_and_back(lab: MeshLab) -> None:
    far = address(lab, "far")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        async with asyncio.timeout(30):
            while True:
                sock.sendto(b"hello", (far, PORT))
                await asyncio.sleep(0.2)
                try:
                    assert sock.recvfrom(100) == (b"edge2 hello", (far, PORT))
                    return
                except BlockingIOError:
                    continue


async def test_without_the_cloud_the_endpoint_here_serves_and_others_fail_at_once(lab: MeshLab) -> None:
    await says("both", "edge1")
    lab.cloud.stop(signal.SIGKILL)
    try:
        assert {await curl(url("both")) for _ in range(5)} == {"edge1"}
        began = time.monotonic()
        assert await curl(url("far")) == ""
        assert time.monotonic() - began < 4, "refused, and not waited for"
    finally:
        lab.cloud.start()
    await says("far", "edge2")


def test_an_endpoint_in_the_cloud_is_reached_through_cloudcore(lab: MeshLab, other: OtherNode) -> None:
    cloud = address(lab, "cloud")
    until(lambda: other.curl(f"http://{cloud}:{PORT}") == "cloud1", "a page of the cloud")
    until(lambda: other.ask(cloud, PORT) == "cloud1 hello", "datagrams of the cloud")
    assert other.curl(f"http://{CLOUD_IP}:8080") == "", "there is no other way"


def test_a_node_whose_link_is_cut_uses_its_own_endpoints_and_later_others_again(
    lab: MeshLab, other: OtherNode
) -> None:
    both, near = address(lab, "both"), address(lab, "near")
    url_of_both, url_of_near = f"http://{both}:{PORT}", f"http://{near}:{PORT}"
    until(lambda: other.curl(url_of_near) == "edge1", "a page of edge1")
    until(lambda: other.ask(near, PORT) == "edge1 hello", "datagrams of edge1")
    other.link("down")
    try:
        began = time.monotonic()
        assert {other.curl(url_of_both) for _ in range(10)} == {"edge2"}
        assert {other.ask(both, PORT) for _ in range(5)} == {"edge2 hello"}
        assert time.monotonic() - began < 10, "those elsewhere are not tried before"
        assert other.curl(url_of_near) == "", "the first one finds out"
        began = time.monotonic()
        assert {other.curl(url_of_near) for _ in range(10)} == {""}
        assert time.monotonic() - began < 10, "the others do not wait for it"
        assert other.ask(near, PORT) == ""
    finally:
        other.link("up")
    until(lambda: other.curl(url_of_near) == "edge1", "a page of edge1 again")
    until(lambda: other.ask(near, PORT) == "edge1 hello", "datagrams of edge1 again")
    assert other.curl(url_of_both) == "edge2"
