"""The autonomy contract (docs/reference/autonomy.md): what holds without the cloud, with a real containerd.

Each row of the contract's table names its tests; `tests/house/test_autonomy_table.py` checks that they exist.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.component.edged.conftest import Bench, busybox, cgroup_root, make_pod
from tests.component.edged.containerd import Containerd
from tests.edgecore.cloud_peer import Pki, cloud_peer, configuration
from tests.edgecore.processes import edgecore, free_port, spawn

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.errors import RuntimeUnreachable
from edgelab.cri.runtime import Runtime
from edgelab.edgecore import rescue
from edgelab.edgecore.metamanager import rows
from edgelab.edgecore.store import META_TABLES, Store
from edgelab.protocol.message import Message

Obj = dict[str, Any]


class Edge:
    """A whole EdgeCore over the private containerd, with a store that an earlier life filled."""

    def __init__(self, directory: Path, runtime: Runtime, endpoint: str) -> None:
        self.directory, self.runtime, self.endpoint = directory, runtime, endpoint
        self.database = directory / "edgecore.db"

    def settings(self, port: int, **hub: Any) -> Path:
        kubelet = {
            "containerRuntimeEndpoint": self.endpoint,
            "imageServiceEndpoint": self.endpoint,
            "podLogsDir": str(self.directory / "logs"),
            "cgroupRoot": cgroup_root(),
            "readOnlyPort": 0,
            "staticPodPath": "",
        }
        edged = {
            "enable": True,
            "reportEvent": True,
            "nodeIP": "127.0.0.1",
            "rootDirectory": str(self.directory / "kubelet"),
            "tailoredKubeletConfig": kubelet,
        }
        return configuration(self.directory, port, edged=edged, edgeHub=hub, deviceTwin={"enable": False})

    async def fill(self, *objects: tuple[str, str, Obj]) -> None:
        async with Store(self.database, META_TABLES) as store:
            for key, kind, obj in objects:
                await store.submit([rows.put(key, kind, json.dumps(obj).encode())])

    async def running(self, pod: Obj) -> list[str]:
        found = await self.runtime.list_containers({"io.kubernetes.pod.uid": pod["metadata"]["uid"]})
        return [container.id for container in found if container.state == pb.CONTAINER_RUNNING]

    async def until_running(self, pod: Obj, seconds: float = 60) -> list[str]:
        async with asyncio.timeout(seconds):
            while True:
                with contextlib.suppress(RuntimeUnreachable):  # it was restarted meanwhile
                    if found := await self.running(pod):
                        return found
                await asyncio.sleep(0.05)


@pytest.fixture
async def edge(runtime_daemon: Containerd, tmp_path: Path) -> AsyncIterator[Edge]:
    runtime = Runtime(runtime_daemon.endpoint)
    yield Edge(tmp_path, runtime, runtime_daemon.endpoint)
    try:
        for sandbox in await runtime.list_sandboxes():
            await runtime.stop_sandbox(sandbox.id)
            await runtime.remove_sandbox(sandbox.id)
    finally:
        runtime.close()


NODE = ("null/node/edge1", "node", {"metadata": {"name": "edge1", "uid": "n-1"}})


def row(pod: Obj) -> tuple[str, str, Obj]:
    return f"default/pod/{pod['metadata']['name']}", "pod", pod


def sleeper(name: str, **more: Any) -> Obj:
    return make_pod(name, busybox("sleep", "1000", **more), terminationGracePeriodSeconds=1)


async def test_pods_come_back_from_the_store_before_any_network_is_tried(edge: Edge) -> None:
    """The node has no certificate and reaches nobody, so whatever runs came out of the store."""
    env = [
        {"name": "FROM_MAP", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "k"}}},
        {"name": "FROM_SECRET", "valueFrom": {"secretKeyRef": {"name": "hidden", "key": "k"}}},
    ]
    script = 'test "$FROM_MAP$FROM_SECRET" = mapsecret && exec sleep 1000'
    pod = make_pod("stored", busybox("sh", "-c", script, env=env), terminationGracePeriodSeconds=1)
    await edge.fill(
        NODE,
        row(pod),
        ("default/configmap/settings", "configmap", {"metadata": {"name": "settings"}, "data": {"k": "map"}}),
        ("default/secret/hidden", "secret", {"metadata": {"name": "hidden"}, "data": {"k": "c2VjcmV0"}}),
    )
    (edge.directory / "bootstrap.conf").write_text("a.b.c.d")
    async with edgecore(edge.settings(1, httpServer="https://127.0.0.1:1")) as process:
        await edge.until_running(pod)
        await process.wait_for_line("cannot join yet")


async def test_a_restart_without_the_cloud_leaves_containers_alone(edge: Edge) -> None:
    Pki.create(edge.directory)
    pod = sleeper("kept")
    await edge.fill(NODE, row(pod))
    config = edge.settings(1)
    command = (sys.executable, "-P", "-m", "edgelab.edgecore", "--config", str(config))
    crashing = await spawn(edge.directory, "edgecore", *command)
    before = await edge.until_running(pod)
    await crashing.kill()
    assert await edge.running(pod) == before, "containers do not depend on EdgeCore's process"
    async with edgecore(config) as process:
        await process.wait_for_line("CloudCore cannot be reached")
        await asyncio.sleep(2)
        assert await edge.running(pod) == before
    assert await edge.running(pod) == before, "an orderly stop does not end pods either"


async def test_statuses_and_events_arrive_when_the_cloud_is_back(edge: Edge) -> None:
    pki = Pki.create(edge.directory)
    pod, port = sleeper("told"), free_port()
    await edge.fill(NODE, row(pod))
    name = pod["metadata"]["name"]
    async with edgecore(edge.settings(port)) as process:
        await edge.until_running(pod)
        await process.wait_for_line("CloudCore cannot be reached")
        async with cloud_peer(pki, port) as cloud:

            def running(message: Message) -> bool:
                if message.route.resource != f"default/podpatch/{name}":
                    return False
                return bool(message.object()["status"]["phase"] == "Running")

            await cloud.wait_for(running)
            await cloud.wait_for(lambda m: m.route.resource.startswith(f"default/event/{name}."))


async def test_while_the_cloud_is_away_nothing_is_evicted_and_what_crashes_restarts(bench: Bench) -> None:
    edged = await bench.start()
    calm = sleeper("calm")
    crashing = make_pod("crashing", busybox("sh", "-c", "sleep 2; exit 1"), terminationGracePeriodSeconds=1)
    for pod in (calm, crashing):
        bench.apply(pod)
    await bench.phase(calm, "Running")
    before = [container.id for container in await bench.containers(calm)]
    bench.meta.online = False
    edged.connection_changed(False)
    count = len(bench.meta.history)

    async def restarted() -> bool:
        return any(c.metadata.attempt >= 1 for c in await bench.containers(crashing))

    async with asyncio.timeout(30):
        while not await restarted():
            await asyncio.sleep(0.1)
    assert [container.id for container in await bench.containers(calm)] == before
    assert len(bench.meta.history) == count
    bench.meta.online = True
    edged.connection_changed(True)
    await bench.until(
        lambda: bench.status(crashing)["containerStatuses"][0]["restartCount"] >= 1, "the restart is told"
    )
    assert bench.status(calm)["phase"] == "Running"
    assert bench.status(calm)["containerStatuses"][0]["restartCount"] == 0
    assert bench.meta.deleted == []


async def test_without_the_cloud_a_restart_of_the_runtime_leaves_containers_alone(
    runtime_daemon: Containerd, bench: Bench
) -> None:
    edged = await bench.start()
    pod = sleeper("outlives")
    bench.apply(pod)
    await bench.phase(pod, "Running")
    await bench.until(lambda: bench.meta.node_patches, "node status")
    before = [container.id for container in await bench.containers(pod)]

    def ready() -> Obj:
        conditions = bench.meta.nodes["edge1"]["status"]["conditions"]
        found: Obj = next(condition for condition in conditions if condition["type"] == "Ready")
        return found

    runtime_daemon.kill_daemon()
    try:
        await bench.until(lambda: ready()["status"] == "False", "the node says so", 20)
        assert ready()["message"].startswith("container runtime is down: ")
        bench.meta.online = False
        edged.connection_changed(False)
    finally:
        runtime_daemon.start()
    await asyncio.sleep(2.5)
    assert [container.id for container in await bench.containers(pod)] == before
    bench.meta.online = True
    edged.connection_changed(True)
    await bench.until(lambda: ready()["status"] == "True", "ready again by itself", 20)
    assert bench.status(pod)["containerStatuses"][0]["restartCount"] == 0


async def test_after_a_power_cut_that_broke_the_store_pods_come_back_from_its_copy(
    runtime_daemon: Containerd, edge: Edge
) -> None:
    Pki.create(edge.directory)
    pod = sleeper("rescued")
    await edge.fill(NODE, row(pod))
    rescue.make_copy(edge.database)
    config = edge.settings(1)
    async with edgecore(config):
        await edge.until_running(pod)
    runtime_daemon.stop()
    runtime_daemon.start()
    edge.database.write_bytes(b"\0" * 4096)
    async with edgecore(config) as process:
        await edge.until_running(pod)
        assert "restored from the copy of" in process.output()
    with sqlite3.connect(edge.database) as connection:
        assert connection.execute("SELECT count(*) FROM meta WHERE type = 'pod'").fetchone() == (1,)
    connection.close()


async def test_an_evicted_pod_stays_ended_after_a_restart_without_the_cloud(bench: Bench) -> None:
    bench.settings.tailoredKubeletConfig.evictionHard = {}
    edged = await bench.start()
    mounts = [{"name": "scratch", "mountPath": "/scratch"}]
    script = "dd if=/dev/zero of=/scratch/f bs=1k count=200 && exec sleep 1000"
    pod = make_pod(
        "full",
        busybox("sh", "-c", script, volumeMounts=mounts),
        volumes=[{"name": "scratch", "emptyDir": {"sizeLimit": "100Ki"}}],
    )
    bench.apply(pod)
    await bench.phase(pod, "Running")
    scratch = (
        bench.base / "kubelet" / "pods" / pod["metadata"]["uid"] / "volumes/kubernetes.io~empty-dir/scratch/f"
    )
    await bench.until(lambda: scratch.exists() and scratch.stat().st_size == 200 * 1024, "the volume is full")
    edged._duties.evictions._walked_at = None
    await edged._duties.evictions.look()
    await bench.phase(pod, "Failed")
    status = bench.status(pod)
    assert status["reason"] == "Evicted"
    assert status["message"] == 'Usage of EmptyDir volume "scratch" exceeds the limit "100Ki". '
    bench.meta.online = False
    await bench.stop()
    pod.pop("status", None)
    await bench.start()
    await asyncio.sleep(2)
    assert all(container.state != pb.CONTAINER_RUNNING for container in await bench.containers(pod))
