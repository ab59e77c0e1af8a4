"""Two CloudCores as processes on one real EdgeSite, and a node that moves between them."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cloudcore.cloud import Edge
from tests.component.cloudcore.test_authorization import site
from tests.component.cloudcore.test_chain import (
    BIN,
    NODE,
    Place,
    becomes,
    free_port,
    join,
    make_pod,
    record,
    started,
    stop,
    wait_until,
)

from edgelab.kube import kubeconfig
from edgelab.kube.client import HttpClient
from edgelab.kube.resources import LEASES, NODES, OBJECT_SYNCS, PODS

__all__ = ["site"]


@contextlib.contextmanager
def cloudcore(place: Place, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A CloudCore of that name at the place's ports."""
    files = ("tlsCAFile", "tlsCAKeyFile", "tlsCertFile", "tlsPrivateKeyFile")
    hub: dict[str, Any] = {
        "advertiseAddress": ["127.0.0.1"],
        **{field: str(place.directory / "none" / field) for field in files},
        "websocket": {"address": "127.0.0.1", "port": place.nodes},
        "https": {"address": "127.0.0.1", "port": place.https},
    }
    settings = {
        "commonConfig": {"monitorServer": {"bindAddress": "127.0.0.1:0"}},
        "kubeAPIConfig": {"kubeConfig": str(place.kubeconfig)},
        "modules": {"cloudHub": hub},
        "edgelab": {"replica": name},
    }
    path, log = place.directory / f"{name}.yaml", place.directory / f"{name}.log"
    path.write_text(yaml.safe_dump(settings))
    process = started([BIN / "cloudcore", "--config", path], log)
    try:
        wait_until(lambda: "serves edge nodes" in log.read_text())
        yield process
        assert "Traceback" not in log.read_text()
    finally:
        stop(process)


@pytest.fixture
async def api(site: Place) -> AsyncIterator[HttpClient]:
    async with HttpClient(kubeconfig.load(site.kubeconfig)) as client:
        yield client


def log_of(directory: Path, name: str) -> str:
    return (directory / f"{name}.log").read_text()


async def test_a_node_moves_between_two_cloudcores_and_loses_nothing(site: Place, api: HttpClient) -> None:
    other = replace(site, nodes=free_port(), https=free_port())
    await api.create(NODES, NODE)
    edges: list[Edge] = []
    with cloudcore(site, "a"), cloudcore(other, "b"):
        for turn, place in enumerate((site, other, site, other)):
            edge = await join(place)
            if edges:
                await edges[-1].closed()
            edges.append(edge)

            async def held(name: str = "ab"[turn % 2]) -> bool:
                lease = await api.get(LEASES, "cloudcore-node-edge1", "kubeedge")
                return bool(lease["spec"]["holderIdentity"] == name)

            await becomes(held)
            pod = await make_pod(api, f"p{turn}")
            await edge.pushed(f"default/pod/p{turn}", "insert")
            await becomes(lambda uid=pod["metadata"]["uid"]: acknowledged(api, uid))
            if turn:
                await api.delete(PODS, f"p{turn - 1}", "default", options={"gracePeriodSeconds": 0})
                await edge.pushed(f"default/pod/p{turn - 1}", "delete")
        await becomes(lambda: only(api, "p3"))
        # A deletion may be told twice, when its record is just going as the node moves; nothing comes back.
        old = [m for m in edges[-1].received if m.route.resource == "default/pod/p1"]
        assert {m.route.operation for m in old} <= {"delete"}
        assert "has taken the node over" in log_of(site.directory, "a")
        assert "node edge1 is taken over from CloudCore b" in log_of(site.directory, "a")
        await edges[-1].close()
    names = {lease["metadata"]["name"] for lease in (await api.list(LEASES, "kubeedge")).items}
    assert names == {"cloudcore-node-edge1"}, "both have said goodbye"


async def acknowledged(api: HttpClient, uid: str) -> bool:
    return await record(api, OBJECT_SYNCS, uid) not in ("None", "0")


async def only(api: HttpClient, name: str) -> bool:
    """Whether the node is recorded to hold this pod and no other."""
    syncs = (await api.list(OBJECT_SYNCS)).items
    return [s["spec"]["objectName"] for s in syncs if s["spec"]["objectKind"] == "Pod"] == [name]
