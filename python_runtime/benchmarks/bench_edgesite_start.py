"""EdgeSite: from the start of the process to Ready, with an empty store."""

from __future__ import annotations

from benchmarks.edgesite import running
from benchmarks.measure import Result, goal

ROUNDS, GOAL = 3, 1500.0


async def run() -> list[Result]:
    """Milliseconds, of the fastest start."""
    seconds = []
    for _ in range(ROUNDS):
        async with running() as server:
            seconds.append(server.start_seconds)
    return [goal("at most", GOAL, "ms"), Result("EdgeSite", min(seconds) * 1000, "ms")]
