"""CloudCore: memory of a session and of a full node, connections and registrations a second."""

from __future__ import annotations

import asyncio
import time
from typing import NamedTuple

from benchmarks.cloudcore import BIG, Cloud, cloud, contenders
from benchmarks.measure import Result, goal
from benchmarks.simulator.fleet import Fleet
from benchmarks.simulator.node import Behaviour

NODES = 2000 if BIG else 500
SETTLE_SECONDS = 5.0
HANDSHAKES = 64
SILENT = Behaviour(registers=False)


class Figures(NamedTuple):
    """Of one contender, for each of the nodes."""

    size: float
    """KiB of resident memory that a node takes."""
    rate: float
    """Nodes a second."""
    cost: float
    """CPU time of CloudCore in milliseconds."""


async def run() -> list[Result]:
    """Each on a CloudCore of its own, which has warmed up with a few nodes.

    The simulator and EdgeSite share the cores with CloudCore, and the slowest of them bounds the rate; the
    CPU time is CloudCore's own.
    """
    found = {}
    for name in contenders():
        async with cloud(name) as made:
            idle = await _measure(made, made.fleet(SILENT))
        async with cloud(name) as made:
            found[name] = idle, await _measure(made, made.fleet())
    return [
        goal("at most, idle session", 60, "KiB"),
        *(Result(f"{name}, idle session, of {NODES}", idle.size, "KiB") for name, (idle, _) in found.items()),
        goal("at most, full node", 120, "KiB"),
        *(
            Result(f"{name}, Node, lease, acknowledgements, of {NODES}", full.size, "KiB")
            for name, (_, full) in found.items()
        ),
        goal("at least, connections", 800, "1/s"),
        *(
            Result(f"{name}, TLS 1.3 with client certificate, upgrade", idle.rate, "1/s")
            for name, (idle, _) in found.items()
        ),
        goal("at least, registrations", 300, "1/s"),
        *(
            Result(f"{name}, nodes that connect and register", full.rate, "1/s")
            for name, (_, full) in found.items()
        ),
        goal("at most, CPU time: what the rates allow a core", 1000 / 800, "ms"),
        *(Result(f"{name}, CPU time of a connection", idle.cost, "ms") for name, (idle, _) in found.items()),
        goal("at most, CPU time: what the rates allow a core", 1000 / 300, "ms"),
        *(
            Result(f"{name}, CPU time of a registration", full.cost, "ms")
            for name, (_, full) in found.items()
        ),
    ]


async def _measure(made: Cloud, fleet: Fleet) -> Figures:
    """Until all nodes have connected, and have registered if that is what they do."""
    async with fleet.alive():
        await fleet.connect(fleet.add(50))
        await asyncio.sleep(1)
        usage = made.usage()
        before, busy = usage.resident(), usage.cpu_seconds()
        nodes = fleet.add(NODES)
        began = time.perf_counter()
        await fleet.connect(nodes, at_once=HANDSHAKES)
        while fleet.registers and fleet.registered < len(fleet.nodes):
            await asyncio.sleep(0.05)
        seconds, busy = time.perf_counter() - began, usage.cpu_seconds() - busy
        await asyncio.sleep(SETTLE_SECONDS)
        size = (usage.resident() - before) * 1024 / NODES
    return Figures(size, NODES / seconds, busy * 1000 / NODES)
