"""EdgeSite: a list of 5,000 pods."""

from __future__ import annotations

import time

from benchmarks.edgesite import NAMESPACE, namespace, peer, pod, running
from benchmarks.measure import ROUNDS, Result, goal
from benchmarks.wire import Connection, Target, load

PODS, GOAL, CLIENTS = 5000, 250.0, 32


async def run() -> list[Result]:
    """Milliseconds until the last byte, of the fastest round."""
    async with running() as server:
        results = [goal("at most", GOAL, "ms"), await _measure(server.target)]
    other = peer()
    if other is not None:
        results.append(await _measure(other))
    return results


async def _measure(target: Target) -> Result:
    async with namespace(target) as connection:
        await load(target, CLIENTS, PODS, _pod)
        best = float("inf")
        for _ in range(ROUNDS):
            started = time.perf_counter()
            await connection.send("GET", f"/api/v1/namespaces/{NAMESPACE}/pods")
            size = len(await connection.body())
            best = min(best, time.perf_counter() - started)
    return Result(f"{target.name}, {size / 1e6:.1f} MB", best * 1000, "ms")


async def _pod(connection: Connection, number: int) -> None:
    body = pod(f"pod-{number}", schedulerName="nobody")
    await connection.call("POST", f"/api/v1/namespaces/{NAMESPACE}/pods", body)
