"""EdgeCore: start to Ready, pods from POST to store and Running, memory with 10 pods and 20 twins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from benchmarks.cloudcore import BIG
from benchmarks.cloudcore import contenders as clouds
from benchmarks.edgecore import LABEL, NODE, PEER, Node, contenders, node
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


@dataclass(slots=True)
class Figures:
    """Of one EdgeCore under one CloudCore: milliseconds, MiB, percent of a core; `size`, `compiled`: MB."""

    first: float
    again: float
    idle: float
    stored: list[float] = field(default_factory=list)
    running: list[float] = field(default_factory=list)
    patched: list[float] = field(default_factory=list)
    deployed: float = 0.0
    busy: float = 0.0
    resident: float = 0.0
    anonymous: float = 0.0
    peak: float = 0.0
    size: float = 0.0
    compiled: float = 0.0


GOALS: tuple[tuple[str, float, str, Callable[[Figures], float]], ...] = (
    ("installed: wheel and locked packages", 30, "MB", lambda f: f.size),
    ("the same with the bytecode that is made of them", 30, "MB", lambda f: f.compiled),
    ("start to Ready, first join", 900, "ms", lambda f: f.first),
    ("start to Ready with a new lease, rejoin", 600, "ms", lambda f: f.again),
    (f"pod POST to stored at the edge, p50 of {ROUNDS}", 20, "ms", lambda f: percentile(f.stored, 0.5)),
    ("pod POST to stored at the edge, p99", 20, "ms", lambda f: percentile(f.stored, 0.99)),
    (f"pod POST to Running, warm image, p50 of {ROUNDS}", 400, "ms", lambda f: percentile(f.running, 0.5)),
    ("pod POST to Running, warm image, p99", 400, "ms", lambda f: percentile(f.running, 0.99)),
    (f"label patch to stored at the edge, p50 of {ROUNDS}", 15, "ms", lambda f: percentile(f.patched, 0.5)),
    ("label patch to stored at the edge, p99", 15, "ms", lambda f: percentile(f.patched, 0.99)),
    (f"deployment of {PODS} pods to available", 2000, "ms", lambda f: f.deployed),
    (f"resident, {PODS} pods and {TWINS} devices", 50, "MiB", lambda f: f.resident),
    ("of it anonymous", 26, "MiB", lambda f: f.anonymous),
    ("peak", 70, "MiB", lambda f: f.peak),
    ("CPU of a core, idle", 0.6, "%", lambda f: f.idle),
    ("CPU of a core with pods and devices", 1.25, "%", lambda f: f.busy),
)
"""What is measured, and the most that it may be."""


async def run() -> list[Result]:
    """Each EdgeCore under each CloudCore that is named."""
    found = {}
    for cloudcore in clouds():
        for edgecore in contenders():
            async with node(edgecore, cloudcore) as edge:
                found[f"{edgecore} under {cloudcore}"] = await _measure(edge)
    results = []
    for label, most, unit, take in GOALS:
        results.append(goal(f"{label}, at most", most, unit))
        results += [Result(f"  {name}", take(figures), unit) for name, figures in found.items()]
    return results


async def _measure(edge: Node) -> Figures:
    """One node, from its first join to ten pods and twenty devices."""
    await _account(edge)
    first = await edge.start()
    await edge.stop()
    found = Figures(first * 1000, await edge.start() * 1000, await _cpu(edge))
    for number in range(ROUNDS):
        stored, running = await _pod(edge, f"single-{number}")
        found.stored.append(stored * 1000)
        found.running.append(running * 1000)
        await _gone(edge, f"single-{number}")
    found.patched = [await _patch(edge, number) * 1000 for number in range(ROUNDS)]
    found.deployed = await _deployment(edge) * 1000
    await _devices(edge)
    found.busy = await _cpu(edge)
    usage = edge.usage()
    found.resident, found.anonymous, found.peak = usage.resident(), usage.anonymous(), usage.peak()
    if edge.installed:
        found.size, found.compiled = edge.installed.size(), edge.installed.size(bytecode=True)
    else:
        found.size = found.compiled = Path(PEER).stat().st_size / 1e6
    return found


async def _cpu(edge: Node) -> float:
    """Percent of a core, once what was begun is done."""
    await asyncio.sleep(SETTLE_SECONDS)
    usage = edge.usage()
    await asyncio.sleep(CPU_SECONDS)
    return usage.share()


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of them is."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


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
