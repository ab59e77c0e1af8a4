"""EdgeSite's durable writes: one after the other against a hundred at once (group commit)."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from benchmarks.measure import Result, async_rate

from edgelab.daemon.clock import SYSTEM
from edgelab.edgesite.store import Key, Store

WRITES = 400
AT_ONCE = 100
VALUE = b'{"metadata":{"name":"n","labels":{"app":"bench"}},"data":{"k":"' + b"x" * 1500 + b'"}}'


async def run() -> list[Result]:
    """Acknowledged writes a second, each durable when it is acknowledged."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        store = Store(Path(folder), SYSTEM)
        commit = asyncio.create_task(store.run(), name="store")

        async def put(number: int) -> None:
            await store.put(Key("bench/objects", "default", f"n{number % 200}"), lambda _: VALUE)

        async def one_by_one() -> None:
            for number in range(WRITES):
                await put(number)

        async def together() -> None:
            for start in range(0, WRITES, AT_ONCE):
                await asyncio.gather(*(put(n) for n in range(start, start + AT_ONCE)))

        results = [
            await async_rate("one writer", one_by_one, WRITES),
            await async_rate(f"{AT_ONCE} writers", together, WRITES),
        ]
        commit.cancel()
        await asyncio.gather(commit, return_exceptions=True)
        return results
