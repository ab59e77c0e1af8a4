"""CloudCore: CPU at 1,000 full nodes: keepalives every 15 s, leases read and written every 10 s."""

from __future__ import annotations

import asyncio
import os

from benchmarks.cloudcore import cloud, contenders
from benchmarks.measure import Result, goal
from benchmarks.processes import Usage

NODES, SECONDS = 1000, 30.0
SETTLE_SECONDS = 15.0


async def run() -> list[Result]:
    """Percent of a core over half a minute, once all have registered."""
    results = [goal("at most", 12, "%")]
    for name in contenders():
        results += await _load(name)
    return results


async def _load(name: str) -> list[Result]:
    async with cloud(name) as made:
        fleet = made.fleet()
        async with fleet.alive():
            await fleet.connect(fleet.add(NODES))
            while fleet.registered < NODES:
                await asyncio.sleep(0.1)
            await asyncio.sleep(SETTLE_SECONDS)
            leases = fleet.counts["leases"]
            watched = [made.usage(), Usage(made.site.pid), Usage(os.getpid())]
            await asyncio.sleep(SECONDS)
            shares = [usage.share() for usage in watched]
            leases = fleet.counts["leases"] - leases
    return [
        Result(f"{name}, {NODES} nodes, {leases / SECONDS:.0f} leases/s", shares[0], "%"),
        Result("EdgeSite meanwhile", shares[1], "%"),
        Result("the simulator meanwhile", shares[2], "%"),
    ]
