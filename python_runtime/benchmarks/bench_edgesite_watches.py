"""EdgeSite: 1,000 watchers of one resource at 10 changes a second."""

from __future__ import annotations

import asyncio
import time

from benchmarks.edgesite import NAMESPACE, Server, namespace, running
from benchmarks.measure import Result, goal
from benchmarks.wire import Connection

WATCHERS, CHANGES, SECONDS, GOAL = 1000, 10, 20, 100.0
PATH = f"/api/v1/namespaces/{NAMESPACE}/configmaps"


async def run() -> list[Result]:
    """The share of one core that the server takes, and how late the last watcher hears of a change."""
    async with running() as server, namespace(server.target) as connection:
        return await _measure(server, connection)


async def _measure(server: Server, connection: Connection) -> list[Result]:
    await connection.call("POST", PATH, {"metadata": {"name": "changing"}, "data": {"number": "0"}})
    heard: list[float] = []
    counts = [0]
    watchers = [asyncio.create_task(_watch(server, heard, counts)) for _ in range(WATCHERS)]
    while counts[0] < WATCHERS:
        await asyncio.sleep(0.05)
    before, began, delays = server.cpu_seconds(), time.perf_counter(), []
    for number in range(CHANGES * SECONDS):
        await asyncio.sleep(max(0.0, began + number / CHANGES - time.perf_counter()))
        sent, expected = time.perf_counter(), WATCHERS * (number + 2)
        patch = {"data": {"number": str(number + 1)}}
        await connection.call("PATCH", f"{PATH}/changing", patch, "application/merge-patch+json")
        while counts[0] < expected and time.perf_counter() - sent < 10 / CHANGES:
            await asyncio.sleep(0.002)
        delays.append(time.perf_counter() - sent)
    share = 100 * (server.cpu_seconds() - before) / SECONDS  # however long the client took
    received, total = counts[0] - WATCHERS, WATCHERS * CHANGES * SECONDS
    for task in watchers:
        task.cancel()
    await asyncio.gather(*watchers, return_exceptions=True)
    delays.sort()
    return [
        goal("at most", GOAL, "% core"),
        Result(f"EdgeSite, {received} of {total} events", share, "% core"),
        Result("the last watcher hears of a change, p50", delays[len(delays) // 2] * 1000, "ms"),
        Result("the last watcher hears of a change, p99", delays[int(len(delays) * 0.99)] * 1000, "ms"),
        Result("memory with all watchers", server.memory(), "MiB"),
    ]


async def _watch(server: Server, heard: list[float], counts: list[int]) -> None:
    connection = await Connection.open(server.target)
    await connection.send("GET", f"{PATH}?watch=true&fieldSelector=metadata.name%3Dchanging")
    while data := await connection.chunk():
        counts[0] += data.count(b"\n")
