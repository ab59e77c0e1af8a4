"""`/metrics/resource` and `/stats/summary`: what a kubelet says of what is used."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.errors import RuntimeUnreachable
from edgelab.cri.runtime import Runtime
from edgelab.daemon.clock import SYSTEM
from edgelab.edgecore.edged import names
from edgelab.edgecore.edged.streams import usage
from edgelab.edgecore.edged.streams.pages import Pages
from edgelab.edgecore.kubelet import Request

SECOND = 1_000_000_000
STARTED = dt.datetime(2026, 11, 27, 12, 0, tzinfo=dt.UTC)
POD: dict[str, Any] = {
    "metadata": {"name": "web", "namespace": "default", "uid": "u1"},
    "spec": {},
    "status": {
        "startTime": "2026-11-27T12:00:00Z",
        "containerStatuses": [
            {"name": "main", "state": {"running": {"startedAt": "2026-11-27T12:00:00Z"}}},
            {"name": "side", "state": {"waiting": {}}},
        ],
    },
}


class StatsRuntime:
    """Two containers of a pod and one of nobody; each second a container uses half a core."""

    def __init__(self) -> None:
        self.seconds = 10
        self.gone = False
        self.told: int | None = None

    async def stats(self) -> Sequence[pb.ContainerStats]:
        if self.gone:
            raise RuntimeUnreachable("no containerd")
        return [self._one("u1", "side"), self._one("u1", "main"), self._one("u9", "stranger")]

    def _one(self, uid: str, name: str) -> pb.ContainerStats:
        labels = {names.POD_UID: uid, names.CONTAINER_NAME: name}
        found = pb.ContainerStats(attributes=pb.ContainerAttributes(id=f"{uid}-{name}", labels=labels))
        found.cpu.timestamp = found.memory.timestamp = self.seconds * SECOND
        found.cpu.usage_core_nano_seconds.value = self.seconds * SECOND // 2
        if self.told is not None:
            found.cpu.usage_nano_cores.value = self.told
        found.memory.working_set_bytes.value = 1 << 20
        found.memory.usage_bytes.value = 2 << 20
        found.writable_layer.used_bytes.value = 4096
        return found


class Desk:
    def __init__(self, directory: Path) -> None:
        self.runtime = StatsRuntime()
        runtime = cast(Runtime, self.runtime)
        self.pages = Pages(runtime, lambda: [POD], SYSTEM, node="edge1", root=directory / "none")

    async def resource(self) -> dict[str, str]:
        answer = await self.pages.resource(Request("GET", "/metrics/resource", "", {}))
        assert answer.content_type.startswith("text/plain; version=0.0.4")
        text = b"".join([part async for part in answer.body]).decode()
        return dict(line.split(" ", 1) for line in text.splitlines() if not line.startswith("#"))

    async def summary(self) -> dict[str, Any]:
        answer = await self.pages.summary(Request("GET", "/stats/summary", "", {}))
        found: dict[str, Any] = json.loads(b"".join([part async for part in answer.body]))
        return found


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_resources_are_named_as_metrics_server_reads_them(desk: Desk) -> None:
    found = await desk.resource()
    main = '{container="main",namespace="default",pod="web"}'
    assert found[f"container_cpu_usage_seconds_total{main}"] == "5.0 10000"
    assert found[f"container_memory_working_set_bytes{main}"] == f"{1 << 20} 10000"
    assert float(found[f"container_start_time_seconds{main}"]) == STARTED.timestamp()
    side = 'container_start_time_seconds{container="side",namespace="default",pod="web"}'
    assert side not in found, "the kubelet has not reported it yet"
    pod = '{namespace="default",pod="web"}'
    assert found[f"pod_cpu_usage_seconds_total{pod}"] == "10.0 10000"
    assert found[f"pod_memory_working_set_bytes{pod}"] == f"{2 << 20} 10000"
    assert float(found["node_cpu_usage_seconds_total"].split()[0]) > 0
    assert float(found["node_memory_working_set_bytes"].split()[0]) > 1 << 20
    assert found["scrape_error"] == found["resource_scrape_error"] == "0"
    assert not any("stranger" in name for name in found)


async def test_without_the_runtime_the_node_is_told_and_that_the_rest_is_missing(desk: Desk) -> None:
    desk.runtime.gone = True
    found = await desk.resource()
    assert found["scrape_error"] == found["resource_scrape_error"] == "1"
    assert {name.partition("{")[0] for name in found} == {
        "node_cpu_usage_seconds_total",
        "node_memory_working_set_bytes",
        "resource_scrape_error",
        "scrape_error",
    }
    with pytest.raises(RuntimeUnreachable):
        await desk.summary()


async def test_cores_are_computed_from_two_readings_or_taken_from_the_runtime(desk: Desk) -> None:
    [pod] = (await desk.summary())["pods"]
    assert "usageNanoCores" not in pod["cpu"]
    desk.runtime.seconds += 4
    [pod] = (await desk.summary())["pods"]
    assert [c["cpu"]["usageNanoCores"] for c in pod["containers"]] == [SECOND // 2, SECOND // 2]
    assert pod["cpu"] == {
        "time": "1970-01-01T00:00:14Z",
        "usageNanoCores": SECOND,
        "usageCoreNanoSeconds": 14 * SECOND,
    }
    [again] = (await desk.summary())["pods"]
    assert again == pod, "the same reading gives the same"
    desk.runtime.told = 7
    [pod] = (await desk.summary())["pods"]
    assert pod["cpu"]["usageNanoCores"] == 14


async def test_the_summary_tells_of_node_pods_and_containers(desk: Desk) -> None:
    await desk.summary()
    found = await desk.summary()
    node = found["node"]
    assert node["nodeName"] == "edge1"
    assert node["startTime"] > "2000"
    assert node["memory"]["workingSetBytes"] > 0 < node["memory"]["availableBytes"]
    assert node["fs"]["capacityBytes"] > node["fs"]["availableBytes"] > 0
    [pod] = found["pods"]
    assert pod["podRef"] == {"name": "web", "namespace": "default", "uid": "u1"}
    assert pod["startTime"] == "2026-11-27T12:00:00Z"
    assert [container["name"] for container in pod["containers"]] == ["main", "side"]
    assert pod["containers"][0]["rootfs"]["usedBytes"] == 4096
    assert pod["memory"]["workingSetBytes"] == 2 << 20


def test_a_cpu_that_waits_is_not_busy() -> None:
    ticks = usage.busy("cpu  1 2 3 1000 1000 4 5 6 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n")
    assert ticks == 21 * usage.BILLION // usage.os.sysconf("SC_CLK_TCK")
