"""Endpoints on two nodes: those here first, those elsewhere through CloudCore, and without the cloud."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.component.edgemesh.lab import NODE_IP, MeshLab, curl, network, service, until
from tests.component.edgemesh.othernode import HIDDEN_IP, NAME, OtherNode, page_server
from tests.component.metaserver.lab import Process
from tests.edgemesh.objects import endpoint_slice, member

PORT = 18050
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
    return {**SLICE, **endpoint_slice(owner, endpoint, name=f"{owner}-here", ports=[TCP])}


def there(owner: str) -> dict[str, Any]:
    endpoint = member(HIDDEN_IP, NAME)
    return {**SLICE, **endpoint_slice(owner, endpoint, name=f"{owner}-there", ports=[TCP, UDP])}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeshLab]:
    directory = tmp_path_factory.mktemp("nodes")
    with pytest.MonkeyPatch.context() as patch, network(directory) as runtime:
        patch.setenv("CHECK_EDGECORE_ENVIRONMENT", "false")
        lab = MeshLab(directory, runtime)
        page = Process("page", directory, *page_server(directory, "edge1", NODE_IP, 8080), serving="Serving")
        other: OtherNode | None = None
        try:
            lab.begin()
            metadata = {"name": NAME, "labels": {"node-role.kubernetes.io/edge": ""}}
            lab.apply({"apiVersion": "v1", "kind": "Node", "metadata": metadata})
            lab.apply(
                *(unselected(name) for name in ("both", "far")), here("both"), there("both"), there("far")
            )
            page.start()
            other = OtherNode(lab)
            other.start()
            other.serve(8080)
            lab.mesh.start()
            until(lambda: "the mesh agent of edge2 is connected" in lab.cloud.text(), "edge2's agent")
            yield lab
        finally:
            lab.mesh.stop()
            if other is not None:
                other.stop()
            page.stop()
            lab.finish()


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
    address = lab.kubectl("get", "service", "far", "-o", "jsonpath={.spec.clusterIP}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setblocking(False)
        async with asyncio.timeout(30):
            while True:
                sock.sendto(b"hello", (address, PORT))
                await asyncio.sleep(0.2)
                try:
                    assert sock.recvfrom(100) == (b"edge2 hello", (address, PORT))
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
