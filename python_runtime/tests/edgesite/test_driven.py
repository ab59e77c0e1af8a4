"""The clock of driven sites: order of what wakes, and that time waits for the work."""

from __future__ import annotations

import asyncio

from tests.edgesite.driven import DrivenClock, Driver


async def test_sleepers_wake_in_order_and_at_their_moments() -> None:
    clock, woken = DrivenClock(), []
    begin = clock.monotonic()

    async def sleeper(name: str, *pauses: float) -> None:
        for pause in pauses:
            await clock.sleep(pause)
            woken.append((name, clock.monotonic() - begin))

    async def idle() -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(sleeper(*args)) for args in (("a", 3.0, 1.0), ("b", 1.0, 1.0, 9.0))]
    await Driver(clock, idle).sleep(5.0)
    assert woken == [("b", 1.0), ("b", 2.0), ("a", 3.0), ("a", 4.0)]
    assert clock.monotonic() - begin == 5.0
    await Driver(clock, idle).sleep(10.0)
    assert woken[4:] == [("b", 11.0)]
    assert all(task.done() for task in tasks)


async def test_a_cancelled_sleeper_is_no_moment() -> None:
    clock, turns = DrivenClock(), 0

    async def idle() -> None:
        nonlocal turns
        turns += 1
        await asyncio.sleep(0)

    task = asyncio.create_task(clock.sleep(1.0))
    await asyncio.sleep(0)
    task.cancel()
    await Driver(clock, idle).sleep(2.0)
    assert turns == 1
    assert clock.monotonic() == 1002.0
