"""CloudCore: memory of a session and of a full node, connections and registrations a second."""

from __future__ import annotations

import asyncio
import time

from benchmarks.cloudcore import BIG, Cloud, cloud
from benchmarks.measure import Result, goal
from benchmarks.simulator.node import Behaviour

NODES = 2000 if BIG else 500
SETTLE_SECONDS = 5.0
HANDSHAKES = 64
SILENT = Behaviour(registers=False)


async def run() -> list[Result]:
    """Each on a CloudCore of its own, which has warmed up with a few nodes."""
    async with cloud() as made:
        idle, connections = await _connected(made)
    async with cloud() as made:
        full, registrations = await _registered(made)
    return [
        goal("at most, idle session", 60, "KiB"),
        Result(f"idle session, of {NODES}", idle, "KiB"),
        goal("at most, full node", 120, "KiB"),
        Result(f"Node, lease, acknowledgements, of {NODES}", full, "KiB"),
        goal("at least, connections", 800, "1/s"),
        Result("TLS 1.3 with client certificate, upgrade", connections, "1/s"),
        goal("at least, registrations", 300, "1/s"),
        Result("connected nodes that register", registrations, "1/s"),
    ]


async def _connected(made: Cloud) -> tuple[float, float]:
    fleet = made.fleet(SILENT)
    async with fleet.alive():
        await fleet.connect(fleet.add(50))
        before = made.usage().resident()
        nodes = fleet.add(NODES)
        began = time.perf_counter()
        await fleet.connect(nodes, at_once=HANDSHAKES)
        seconds = time.perf_counter() - began
        await asyncio.sleep(SETTLE_SECONDS)
        return (made.usage().resident() - before) * 1024 / NODES, NODES / seconds


async def _registered(made: Cloud) -> tuple[float, float]:
    fleet = made.fleet()
    async with fleet.alive():
        await fleet.connect(fleet.add(50))
        await asyncio.sleep(1)
        before = made.usage().resident()
        nodes = fleet.add(NODES)
        began = time.perf_counter()
        await fleet.connect(nodes, at_once=HANDSHAKES)
        while fleet.registered < len(fleet.nodes):
            await asyncio.sleep(0.02)
        seconds = time.perf_counter() - began
        await asyncio.sleep(SETTLE_SECONDS)
        return (made.usage().resident() - before) * 1024 / NODES, NODES / seconds
