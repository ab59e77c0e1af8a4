"""kubectl on the MetaServer of a node: with the cloud, without it, and when it is back."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from tests.component.edgecore.test_footprint import CEILING_MIB, FORBIDDEN
from tests.component.metaserver.lab import EdgeNode, Lab, wait_until

from edgelab.kube.resources import CONFIG_MAPS, NODES, SERVICES

CONFIG_MAP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: made-here, namespace: default}
data: {colour: blue}
"""
SERVICE = {"spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}


@pytest.fixture
async def edge(lab: Lab, tmp_path: Path) -> AsyncIterator[EdgeNode]:
    async with lab.api() as api:
        body = {"metadata": {"name": "edge1", "labels": {"node-role.kubernetes.io/edge": ""}}, "spec": {}}
        await api.create(NODES, {"apiVersion": "v1", "kind": "Node", **body})
    edge = EdgeNode(lab, tmp_path / "edge")
    edge.core.start()
    wait_until(lambda: "connected to CloudCore" in edge.core.text())
    try:
        yield edge
    finally:
        edge.core.stop()
        async with lab.api() as api:
            await api.delete(NODES, "edge1")


class Watcher:
    """A watch that stays open; `names` are the events that came, in order."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.names: list[tuple[str, str]] = []
        self._session = session
        self._url = url
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async with self._session.get(self._url) as response:
            async for line in response.content:
                event = json.loads(line)
                self.names.append((event["type"], event["object"]["metadata"].get("name", "")))

    async def comes(self, kind: str, name: str, seconds: float = 30) -> None:
        async with asyncio.timeout(seconds):
            while (kind, name) not in self.names:
                assert not self.task.done(), self.names
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


async def test_the_api_on_a_node_with_and_without_its_cloud(lab: Lab, edge: EdgeNode) -> None:
    async with lab.api() as api, aiohttp.ClientSession() as session:
        await api.create(SERVICES, {"metadata": {"name": "web"}, **SERVICE}, "default")
        watch = Watcher(session, f"{edge.url}/api/v1/namespaces/default/services?watch=true")
        await watch.comes("ADDED", "web")
        await online(edge)
        lab.cloud.stop()
        wait_until(lambda: "connection to CloudCore lost" in edge.core.text())
        await offline(edge)
        stays_small(edge)
        await api.create(SERVICES, {"metadata": {"name": "later"}, **SERVICE}, "default")
        await api.delete(SERVICES, "web", "default")
        lab.cloud.start()
        await watch.comes("ADDED", "later")
        await watch.comes("DELETED", "web")
        assert watch.names.count(("ADDED", "later")) == 1
        await edge.kubectl("delete", "configmap", "made-here")
        await watch.close()
        await api.delete(SERVICES, "later", "default")


async def online(edge: EdgeNode) -> None:
    assert await edge.kubectl("apply", "-f", "-", text=CONFIG_MAP) == "configmap/made-here created\n"
    changed = CONFIG_MAP.replace("blue", "red")
    assert await edge.kubectl("apply", "-f", "-", text=changed) == "configmap/made-here configured\n"
    assert await edge.kubectl("label", "configmap", "made-here", "a=b") == "configmap/made-here labeled\n"
    assert "made-here" in await edge.kubectl("get", "configmaps", "-l", "a=b")
    assert "web" in await edge.kubectl("get", "services,nodes")
    assert "pods" in await edge.kubectl("api-resources")
    missing = await edge.kubectl("get", "configmap", "none", fails=True)
    assert 'configmaps "none" not found' in missing
    secret = CONFIG_MAP.replace("ConfigMap", "Secret").replace("data", "stringData")
    refused = await edge.kubectl("create", "-f", "-", text=secret, fails=True)
    assert "node 'edge1' may not create it" in refused


def stays_small(edge: EdgeNode) -> None:
    """What the process has loaded with a MetaServer at work."""
    process = Path("/proc") / str(edge.core.pid)
    maps = (process / "maps").read_text()
    assert not [name for name in FORBIDDEN if name in maps]
    lines = (process / "smaps_rollup").read_text().splitlines()
    size = next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Rss:"))
    print(f"resident with MetaServer: {size:.1f} MiB")
    assert size < CEILING_MIB


async def offline(edge: EdgeNode) -> None:
    shutil.rmtree(edge.directory / "cache")
    found = json.loads(await edge.kubectl("get", "configmap", "made-here", "-o", "json"))
    assert found["data"] == {"colour": "red"}
    listed = json.loads(await edge.kubectl("get", "services", "-o", "json"))
    assert "web" in [item["metadata"]["name"] for item in listed["items"]]
    chosen = await edge.kubectl("get", "configmaps", "-l", "a=b", "-o", "name")
    assert chosen == "configmap/made-here\n"
    refused = await edge.kubectl("label", "configmap", "made-here", "c=d", fails=True)
    assert "needs the cloud: connection lost between EdgeCore and CloudCore" in refused
    one = await edge.kubectl("get", "services", "web", "--watch", "--request-timeout=2s", "-o", "name")
    assert one.startswith("service/web\n")


async def test_a_node_that_starts_without_its_cloud_shows_what_it_knew(lab: Lab, edge: EdgeNode) -> None:
    await edge.kubectl("apply", "-f", "-", text=CONFIG_MAP)
    assert CONFIG_MAPS.plural in await edge.kubectl("api-resources", "-o", "name")
    await edge.kubectl("get", "namespaces")
    lab.cloud.stop()
    try:
        edge.core.stop()
        edge.core.start()
        shutil.rmtree(edge.directory / "cache")
        assert "made-here" in await edge.kubectl("get", "configmap", "made-here")
        assert "kube-system" in await edge.kubectl("get", "namespaces")
        assert CONFIG_MAPS.plural in await edge.kubectl("api-resources", "-o", "name")
        assert "needs the cloud" in await edge.kubectl("delete", "configmap", "made-here", fails=True)
    finally:
        lab.cloud.start()
    wait_until(lambda: "connected to CloudCore" in edge.core.text())
    await edge.kubectl("delete", "configmap", "made-here")
    gone = await edge.kubectl("get", "configmap", "made-here", fails=True)
    assert 'configmaps "made-here" not found' in gone
