"""EdgeSite: pods from creation to a node, and decisions alone."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.edgesite import NAMESPACE, namespace, node, peer, pod, running
from benchmarks.measure import Result
from benchmarks.wire import Connection, Target, load

PODS, NODES, CLIENTS = 1000, 10, 32
PODS_PATH = f"/api/v1/namespaces/{NAMESPACE}/pods"


async def run() -> list[Result]:
    """Pods a second from the first creation to the last binding."""
    results = []
    for terms in (False, True):
        async with running() as server:
            results.append(await _measure(server.target, terms=terms))
    other = peer()
    if other is not None:
        results += [await _measure(other, terms=terms) for terms in (False, True)]
    return results


async def _measure(target: Target, *, terms: bool) -> Result:
    async with namespace(target) as connection:
        for number in range(NODES):
            await _node(connection, f"bench-{number}")
        started = time.perf_counter()
        await load(target, CLIENTS, PODS, _affine if terms else _plain)
        while await _waiting(connection):
            await asyncio.sleep(0.05)
        elapsed = time.perf_counter() - started
        for number in range(NODES):
            await connection.call("DELETE", f"/api/v1/nodes/bench-{number}")
    what = "pods with spread and affinity" if terms else "plain pods"
    return Result(f"{target.name}, {what} on {NODES} nodes", PODS / elapsed, "1/s")


async def _node(connection: Connection, name: str) -> None:
    """A node that is ready, as its kubelet would say; admission taints a new one."""
    made = await connection.call("POST", "/api/v1/nodes", node(name))
    if made.get("spec", {}).get("taints"):
        patch = {"spec": {"taints": None}}
        await connection.call("PATCH", f"/api/v1/nodes/{name}", patch, "application/merge-patch+json")


async def _waiting(connection: Connection) -> int:
    answer = await connection.call("GET", f"{PODS_PATH}?fieldSelector=spec.nodeName%3D&limit=1")
    return len(answer["items"])


async def _plain(connection: Connection, number: int) -> None:
    await connection.call("POST", PODS_PATH, pod(f"pod-{number}"))


async def _affine(connection: Connection, number: int) -> None:
    selector = {"matchLabels": {"app": "bench"}}
    key = "kubernetes.io/hostname"
    constraint = {
        "maxSkew": 5,
        "topologyKey": key,
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": selector,
    }
    wish = {"weight": 10, "podAffinityTerm": {"topologyKey": key, "labelSelector": selector}}
    affinity: dict[str, Any] = {
        "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [wish]}
    }
    body = pod(f"pod-{number}", topologySpreadConstraints=[constraint], affinity=affinity)
    await connection.call("POST", PODS_PATH, body)
