"""EdgeSite: durable creates with 32 clients, ConfigMaps of 1 KiB and Pods."""

from __future__ import annotations

from benchmarks.edgesite import NAMESPACE, namespace, peer, pod, running
from benchmarks.measure import Result, goal
from benchmarks.wire import Connection, Load, Target, load

CLIENTS, SECONDS = 32, 8
CONFIG_MAPS, PODS, SLOWEST = 1500.0, 500.0, 50.0
"""The goals: creates a second, and milliseconds of the 99th percentile."""
VALUE = "x" * 1000


async def run() -> list[Result]:
    """Creates a second and percentiles."""
    async with running() as server:
        ours = await _measure(server.target)
    measured = {"EdgeSite": ours}
    other = peer()
    if other is not None:
        measured[other.name] = await _measure(other)
    results = []
    for number, (kind, wanted) in enumerate((("ConfigMaps", CONFIG_MAPS), ("Pods", PODS))):
        loads = {name: pair[number] for name, pair in measured.items()}
        results.append(goal(f"{kind}, at least", wanted, "1/s"))
        results += [Result(name, one.rate, "1/s") for name, one in loads.items()]
        results.append(goal(f"{kind}, 99 of 100 within", SLOWEST, "ms"))
        for name, one in loads.items():
            results += [Result(f"{name}, p{p}", one.percentile(p / 100) * 1000, "ms") for p in (50, 99)]
    return results


async def _measure(target: Target) -> tuple[Load, Load]:
    async with namespace(target):
        maps = await load(target, CLIENTS, int(CONFIG_MAPS * SECONDS), _config_map)
        pods = await load(target, CLIENTS, int(PODS * SECONDS), _pod)
    return maps, pods


async def _config_map(connection: Connection, number: int) -> None:
    body = {"metadata": {"name": f"map-{number}"}, "data": {"key": VALUE}}
    await connection.call("POST", f"/api/v1/namespaces/{NAMESPACE}/configmaps", body)


async def _pod(connection: Connection, number: int) -> None:
    body = pod(f"pod-{number}", schedulerName="nobody")
    await connection.call("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", body)
