"""What the cloud learns: the Node, its lease and status, pod statuses; and the read-only port."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.component.edged.meta import FakeMeta
from tests.edgecore.edged.samples import HandClock, pod

from edgelab.daemon.clock import SYSTEM
from edgelab.daemon.errors import Fatal
from edgelab.edgecore.edged import Edged
from edgelab.edgecore.edged.node import ATTACH_DETACH, NodeView
from edgelab.edgecore.edged.registration import NodeReporter
from edgelab.edgecore.edged.reports import Reports
from edgelab.edgecore.edged.server import ReadOnlyServer
from edgelab.settings.edgecore import Edged as Settings
from edgelab.settings.kubelet import Taint


@contextlib.asynccontextmanager
async def background(work: Any) -> AsyncIterator[asyncio.Task[Any]]:
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition: Callable[[], Any], limit: float = 60) -> None:
    async with asyncio.timeout(limit):
        while not condition():
            await asyncio.sleep(0.01)


def settings(tmp_path: Path) -> Settings:
    made = Settings(nodeIP="192.168.1.20", rootDirectory=str(tmp_path), nodeLabels={"place": "roof"})
    made.tailoredKubeletConfig.readOnlyPort = 10350
    return made


def reporter(made: Settings, meta: FakeMeta, problem: str = "") -> NodeReporter:
    view = NodeView(made, "edge1", SYSTEM)
    view.runtime = lambda: "containerd://1.6.20"
    return NodeReporter(made, view, meta, SYSTEM, lambda: problem)


async def test_node_registers_with_labels_taints_and_versions(tmp_path: Path) -> None:
    made, meta = settings(tmp_path), FakeMeta()
    made.tailoredKubeletConfig.registerWithTaints = [Taint("edge", "NoSchedule", "yes")]
    async with background(reporter(made, meta).run()):
        await until(lambda: meta.node_patches and meta.leases)
    node = meta.nodes["edge1"]
    labels = node["metadata"]["labels"]
    assert labels["node-role.kubernetes.io/edge"] == labels["node-role.kubernetes.io/agent"] == ""
    assert (labels["kubernetes.io/hostname"], labels["place"]) == ("edge1", "roof")
    assert node["metadata"]["annotations"] == {ATTACH_DETACH: "true"}
    assert node["spec"]["taints"] == [{"key": "edge", "effect": "NoSchedule", "value": "yes"}]
    status = node["status"]
    assert status["nodeInfo"]["kubeletVersion"] == "v1.32.10-kubeedge-v1.23.0"
    assert status["addresses"][0] == {"type": "InternalIP", "address": "192.168.1.20"}
    assert [c["type"] for c in status["conditions"]] == [
        "MemoryPressure",
        "DiskPressure",
        "PIDPressure",
        "Ready",
    ]
    lease = meta.leases["edge1"]
    assert lease["spec"]["holderIdentity"] == "edge1"
    assert lease["metadata"]["ownerReferences"][0]["uid"] == node["metadata"]["uid"]


async def test_existing_node_keeps_what_users_set_and_gets_what_is_missing(tmp_path: Path) -> None:
    meta = FakeMeta()
    taint = {"key": "mine", "effect": "NoExecute"}
    meta.nodes["edge1"] = {
        "metadata": {"name": "edge1", "uid": "n-1", "labels": {"mine": "1"}, "annotations": {"a": "b"}},
        "spec": {"taints": [taint]},
    }
    async with background(reporter(settings(tmp_path), meta).run()):
        await until(lambda: meta.node_patches)
    node = meta.nodes["edge1"]
    assert node["metadata"]["labels"]["mine"] == "1"
    assert node["metadata"]["labels"]["kubernetes.io/os"] == "linux"
    assert node["metadata"]["annotations"] == {"a": "b", ATTACH_DETACH: "true"}
    assert node["spec"]["taints"] == [taint]


async def test_node_made_by_hand_is_waited_for(tmp_path: Path) -> None:
    made, meta = settings(tmp_path), FakeMeta()
    made.tailoredKubeletConfig.registerNode = False
    async with background(reporter(made, meta).run()):
        await asyncio.sleep(0.3)
        assert meta.nodes == {}
        meta.nodes["edge1"] = {"metadata": {"name": "edge1", "uid": "n-1"}}
        await until(lambda: meta.node_patches)
    assert "labels" not in meta.nodes["edge1"]["metadata"]


async def test_deleted_node_is_registered_again_and_lease_conflicts_are_settled(tmp_path: Path) -> None:
    meta = FakeMeta()
    working = reporter(settings(tmp_path), meta)
    async with background(working.run()):
        await until(lambda: meta.node_patches and meta.leases)
        meta.leases["edge1"]["metadata"]["resourceVersion"] = "other"
        meta.nodes.clear()
        working.connected()
        await until(lambda: "edge1" in meta.nodes)
        await until(lambda: meta.leases["edge1"]["metadata"]["resourceVersion"] != "other")


async def test_node_without_a_working_runtime_is_not_ready_and_says_why(tmp_path: Path) -> None:
    meta = FakeMeta()
    async with background(reporter(settings(tmp_path), meta, "cni plugin not initialized").run()):
        await until(lambda: meta.node_patches)
    ready = meta.nodes["edge1"]["status"]["conditions"][-1]
    assert (ready["status"], ready["reason"], ready["message"]) == (
        "False",
        "KubeletNotReady",
        "cni plugin not initialized",
    )


async def test_unchanged_node_status_is_not_sent_again(tmp_path: Path) -> None:
    made, meta = settings(tmp_path), FakeMeta()
    made.tailoredKubeletConfig.nodeStatusUpdateFrequency = "1s"
    async with background(reporter(made, meta).run()):
        await until(lambda: meta.node_patches)
        await asyncio.sleep(1.3)
    assert len(meta.node_patches) == 1


async def test_pod_status_is_sent_once_and_again_after_a_reconnect() -> None:
    meta = FakeMeta()
    reports = Reports(meta, SYSTEM)
    async with background(reports.run()):
        reports.publish(pod(), {"phase": "Pending"})
        reports.publish(pod(), {"phase": "Running"})
        await until(lambda: meta.history)
        reports.publish(pod(), {"phase": "Running"})
        await asyncio.sleep(0.05)
        assert meta.history == [("web", {"phase": "Running"})]
        reports.connected()
        await until(lambda: len(meta.history) == 2)


async def test_pod_status_of_an_offline_time_is_delivered_after_it() -> None:
    meta = FakeMeta()
    meta.online = False
    reports = Reports(meta, SYSTEM)
    async with background(reports.run()):
        reports.publish(pod(), {"phase": "Running"})
        await reports.delivered("u-1", 0.05)
        assert meta.history == []
        meta.online = True
        reports.connected()
        await reports.delivered("u-1", 2)
        assert meta.history == [("web", {"phase": "Running"})]


async def get(port: int, path: str) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return int(head.split()[1]), body


async def test_read_only_port_serves_health_and_pods() -> None:
    problem = ""
    server = ReadOnlyServer("127.0.0.1", 0, lambda: [pod()], lambda: problem)
    async with background(server.run()):
        await asyncio.wait_for(server.listening.wait(), 60)
        assert await get(server.bound_port, "/healthz") == (200, "ok")
        assert await get(server.bound_port, "/healthz/syncloop") == (200, "ok")
        code, body = await get(server.bound_port, "/pods")
        assert (code, json.loads(body)["items"][0]["metadata"]["name"]) == (200, "web")
        assert (await get(server.bound_port, "/run"))[0] == 404
        problem = "the runtime sleeps"
        assert await get(server.bound_port, "/healthz/syncloop") == (500, "the runtime sleeps\n")


async def test_taken_port_is_named() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(Fatal, match=f"127.0.0.1:{port}: the port is taken"):
            await ReadOnlyServer("127.0.0.1", port, list, str).run()


async def test_start_without_a_container_runtime_ends_with_one_clear_line(tmp_path: Path) -> None:
    made = settings(tmp_path)
    config = made.tailoredKubeletConfig
    config.containerRuntimeEndpoint = config.imageServiceEndpoint = f"unix://{tmp_path}/none.sock"
    config.readOnlyPort = 0
    clock = HandClock()
    began = clock.moment
    with pytest.raises(Fatal, match=r"none\.sock does not exist \(is containerd installed and running\?\)"):
        await Edged(made, FakeMeta(), "edge1", clock, database_dir=tmp_path).run()
    assert clock.moment - began >= 10


async def test_the_store_shows_on_the_node_only_when_there_is_something_to_tell(tmp_path: Path) -> None:
    view = NodeView(settings(tmp_path), "edge1", SYSTEM)

    def conditions(before: Any) -> dict[str, tuple[str, str]]:
        return {
            c["type"]: (c["status"], c["reason"])
            for c in view.status(view.pressure(""), before)["conditions"]
        }

    assert "StoreProblem" not in conditions({})
    view.store_problem = lambda: ("NotWritable", "the disk is full")
    status = view.status(view.pressure(""), {})
    assert conditions({})["StoreProblem"] == ("True", "NotWritable")
    view.store_problem = lambda: ("", "")
    assert conditions(status)["StoreProblem"] == ("False", "StoreIntact")


async def test_pressure_and_images_come_from_their_owners(tmp_path: Path) -> None:
    view = NodeView(settings(tmp_path), "edge1", SYSTEM)
    assert "images" not in view.status(view.pressure(""), {})
    view.pressing = lambda: ["DiskPressure"]
    view.images = lambda: [{"names": ["a:1"], "sizeBytes": 1}]
    status = view.status(view.pressure(""), {})
    found = {c["type"]: c for c in status["conditions"]}
    assert (found["DiskPressure"]["status"], found["DiskPressure"]["reason"]) == (
        "True",
        "KubeletHasDiskPressure",
    )
    assert found["MemoryPressure"]["status"] == "False"
    assert status["images"] == [{"names": ["a:1"], "sizeBytes": 1}]


async def test_a_status_for_a_pod_that_is_gone_is_told() -> None:
    meta = FakeMeta()
    meta.unknown.add("web")
    reports = Reports(meta, SYSTEM)
    gone: list[str] = []
    reports.gone = gone.append

    async with background(reports.run()):
        reports.publish(pod(), {"phase": "Running"})
        await until(lambda: gone)
    assert gone == ["u-1"]


async def test_a_pod_does_not_wait_for_the_answer_to_another() -> None:
    both = asyncio.Barrier(2)

    class Meeting(FakeMeta):
        async def patch_pod_status(self, namespace: str, name: str, patch: dict[str, Any]) -> dict[str, Any]:
            async with asyncio.timeout(60):
                await both.wait()
            return await super().patch_pod_status(namespace, name, patch)

    meta = Meeting()
    reports = Reports(meta, SYSTEM)
    for number in (1, 2):
        described = pod()
        described["metadata"] |= {"uid": f"u{number}", "name": f"p{number}"}
        reports.publish(described, {"phase": "Pending"})
    async with background(reports.run()):
        await reports.delivered("u1", 60)
        await reports.delivered("u2", 60)
    assert sorted(name for name, _ in meta.history) == ["p1", "p2"]
