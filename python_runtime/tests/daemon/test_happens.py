"""Waiting for an event, but not longer than a clock allows."""

from __future__ import annotations

import asyncio
import datetime as dt

from edgelab.daemon.clock import happens


class Stopped:
    """A clock whose sleep ends when the test says so."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.over = asyncio.Event()
        self.sleeping = 0

    def now(self) -> dt.datetime:
        return dt.datetime.now(dt.UTC)

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.sleeping += 1
        try:
            await self.over.wait()
        finally:
            self.sleeping -= 1


async def test_what_happens_ends_the_wait() -> None:
    clock, event = Stopped(), asyncio.Event()
    waiting = asyncio.create_task(happens(event, 5, clock))
    await asyncio.sleep(0)
    event.set()
    async with asyncio.timeout(20):
        assert await waiting is True
    await asyncio.sleep(0)
    assert (clock.slept, clock.sleeping) == ([5], 0)


async def test_what_has_happened_before_is_not_waited_for() -> None:
    clock, event = Stopped(), asyncio.Event()
    event.set()
    async with asyncio.timeout(20):
        assert await happens(event, 5, clock) is True


async def test_the_clock_ends_the_wait() -> None:
    clock, event = Stopped(), asyncio.Event()
    clock.over.set()
    async with asyncio.timeout(20):
        assert await happens(event, 5, clock) is False


async def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    clock, event = Stopped(), asyncio.Event()
    waiting = asyncio.create_task(happens(event, 5, clock))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.sleep(0)
    assert clock.sleeping == 0
