"""EdgeCore: start to Ready, pods from POST to store and Running, memory with 10 pods and 20 twins."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import yaml
from benchmarks.cloudcore import BIG
from benchmarks.edgecore import LABEL, NODE, Node, node
from benchmarks.measure import Result, goal
from tests.component.edgecore.mqtt_client import mqtt_client

PODS, TWINS, REPORTS = 10, 20, 50
ROUNDS = 30 if BIG else 10
SETTLE_SECONDS = 10.0
CPU_SECONDS = 30.0 if BIG else 10.0
NAMESPACE = "/api/v1/namespaces/default"
GROUP = "devices.kubeedge.io/v1beta1"
DEVICES = f"/apis/{GROUP}/namespaces/default"
IMAGE = "edgelab.local/busybox:1.35"
MERGE = "application/merge-patch+json"


async def run() -> list[Result]:
    """One node, from its first join to ten pods and twenty devices."""
    async with node() as edge:
        await _account(edge)
        first = await edge.start()
        await edge.stop()
        again = await edge.start()
        idle = await _cpu(edge)
        stored, running = [], []
        for number in range(ROUNDS):
            times = await _pod(edge, f"single-{number}")
            stored.append(times[0])
            running.append(times[1])
            await _gone(edge, f"single-{number}")
        patched = [await _patch(edge, number) for number in range(ROUNDS)]
        deployed = await _deployment(edge)
        await _devices(edge)
        busy = await _cpu(edge)
        usage = edge.usage()
        return [
            goal("installed, at most", 30, "MB"),
            Result("wheel and locked packages, sources and bytecode", edge.installed.size(), "MB"),
            goal("first join, at most", 900, "ms"),
            Result("start to Ready, first join", first * 1000, "ms"),
            goal("rejoin, at most", 600, "ms"),
            Result("start to Ready with a new lease, rejoin", again * 1000, "ms"),
            goal("pod stored, at most", 20, "ms"),
            *_percentiles("pod POST to stored at the edge", stored),
            goal("pod Running, at most", 400, "ms"),
            *_percentiles("pod POST to Running, warm image", running),
            goal("label stored, at most", 15, "ms"),
            *_percentiles("label patch to stored at the edge", patched),
            goal("deployment, at most", 2000, "ms"),
            Result(f"deployment of {PODS} pods to available", deployed * 1000, "ms"),
            goal("resident, at most", 50, "MiB"),
            Result(f"EdgeCore, {PODS} pods and {TWINS} devices", usage.resident(), "MiB"),
            goal("anonymous, at most", 26, "MiB"),
            Result("of it anonymous", usage.anonymous(), "MiB"),
            goal("peak, at most", 70, "MiB"),
            Result("peak", usage.peak(), "MiB"),
            goal("CPU of a core, idle, at most", 0.6, "%"),
            Result("CPU of a core, idle", idle, "%"),
            goal("CPU of a core with them, at most", 1.25, "%"),
            Result("CPU of a core with them", busy, "%"),
        ]


async def _cpu(edge: Node) -> float:
    """Percent of a core, once what was begun is done."""
    await asyncio.sleep(SETTLE_SECONDS)
    usage = edge.usage()
    await asyncio.sleep(CPU_SECONDS)
    return usage.share()


def _percentiles(label: str, seconds: list[float]) -> list[Result]:
    ordered = sorted(seconds)
    last = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return [
        Result(f"{label}, p50 of {len(ordered)}", ordered[len(ordered) // 2] * 1000, "ms"),
        Result(f"{label}, p99", last * 1000, "ms"),
    ]


async def _account(edge: Node) -> None:
    async def there() -> bool:
        return await edge.find(f"{NAMESPACE}/serviceaccounts/default") is not None

    await edge.until(there)


def _spec(**more: Any) -> dict[str, Any]:
    container = {"name": "main", "image": IMAGE, "command": ["sleep", "100000"]}
    tolerations = [{"operator": "Exists"}]
    return {
        "containers": [container],
        "tolerations": tolerations,
        "terminationGracePeriodSeconds": 0,
        **more,
    }


async def _pod(edge: Node, name: str) -> tuple[float, float]:
    """(stored, Running) in seconds after the POST was sent."""
    began = time.perf_counter()
    body = {"metadata": {"name": name}, "spec": _spec(nodeName=NODE)}
    await edge.api.call("POST", f"{NAMESPACE}/pods", body)
    await edge.until(lambda: edge.stored(f"default/pod/{name}"))
    stored = time.perf_counter() - began

    async def is_running() -> bool:
        found = await edge.find(f"{NAMESPACE}/pods/{name}") or {}
        return bool(found.get("status", {}).get("phase") == "Running")

    await edge.until(is_running)
    return stored, time.perf_counter() - began


async def _gone(edge: Node, name: str) -> None:
    await edge.api.call("DELETE", f"{NAMESPACE}/pods/{name}")

    async def is_gone() -> bool:
        return await edge.find(f"{NAMESPACE}/pods/{name}") is None

    await edge.until(is_gone)


async def _patch(edge: Node, number: int) -> float:
    began = time.perf_counter()
    value = f"round-{number}"
    await edge.api.call("PATCH", f"/api/v1/nodes/{NODE}", {"metadata": {"labels": {"bench": value}}}, MERGE)
    await edge.until(lambda: value in edge.stored(f"default/node/{NODE}") + edge.stored(f"null/node/{NODE}"))
    return time.perf_counter() - began


async def _deployment(edge: Node) -> float:
    labels = {"app": "bench"}
    template = {"metadata": {"labels": labels}, "spec": _spec(nodeSelector={LABEL: ""})}
    spec = {"replicas": PODS, "selector": {"matchLabels": labels}, "template": template}
    path = "/apis/apps/v1/namespaces/default/deployments"
    began = time.perf_counter()
    await edge.api.call("POST", path, {"metadata": {"name": "bench"}, "spec": spec})

    async def available() -> bool:
        found = await edge.find(f"{path}/bench") or {}
        return bool((found.get("status") or {}).get("availableReplicas") == PODS)

    await edge.until(available)
    return time.perf_counter() - began


async def _devices(edge: Node) -> None:
    """Make the devices and report to each, until the API shows the last values."""
    properties = [{"name": "temperature", "type": "FLOAT", "accessMode": "ReadOnly"}]
    model = _object("DeviceModel", "thermo", {"properties": properties})
    await edge.api.call("POST", f"{DEVICES}/devicemodels", model)
    for number in range(TWINS):
        reported = [{"name": "temperature", "reportToCloud": True}]
        spec = {"deviceModelRef": {"name": "thermo"}, "nodeName": NODE, "properties": reported}
        await edge.api.call("POST", f"{DEVICES}/devices", _object("Device", f"d{number}", spec))
    async with mqtt_client(edge.broker) as client:

        async def shown() -> bool:
            client.update(f"default/d{TWINS - 1}", temperature="99")
            found = await edge.find(f"{DEVICES}/devicestatuses/d{TWINS - 1}") or {}
            return '"99"' in yaml.safe_dump(found, default_style='"')

        await edge.until(shown)
        for value in range(REPORTS):
            for number in range(TWINS):
                client.update(f"default/d{number}", temperature=str(value))
            await asyncio.sleep(0.05)


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": GROUP, "kind": kind, "metadata": {"name": name}, "spec": spec}
