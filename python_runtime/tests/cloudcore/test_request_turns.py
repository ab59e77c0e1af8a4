"""Whose request the API server is asked next."""

from __future__ import annotations

import asyncio

from tests.edgecore.edged.samples import HandClock

from edgelab.cloudcore.edgecontroller.turns import PATIENCE_SECONDS, Turns


class Stage:
    """Takes turns and writes down in which order they came."""

    def __init__(self, limit: int) -> None:
        self.clock = HandClock()
        self.turns = Turns(limit, self.clock)
        self.order: list[str] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, name: str, *, urgent: bool = False) -> None:
        self.tasks[name] = asyncio.create_task(self._take(name, urgent))
        await asyncio.sleep(0)

    async def give(self, times: int = 1) -> None:
        for _ in range(times):
            self.turns.give()
            await asyncio.sleep(0)

    async def _take(self, name: str, urgent: bool) -> None:
        await self.turns.take(urgent=urgent)
        self.order.append(name)


async def test_as_many_at_a_time_as_there_are_turns_and_then_in_order() -> None:
    stage = Stage(2)
    for name in "abcd":
        await stage.come(name)
    assert stage.order == ["a", "b"]
    await stage.give(2)
    assert stage.order == ["a", "b", "c", "d"]


async def test_who_is_urgent_goes_first() -> None:
    stage = Stage(1)
    await stage.come("first")
    await stage.come("lease")
    for number in range(3):
        await stage.come(f"node{number}", urgent=True)
    await stage.give(4)
    assert stage.order == ["first", "node0", "node1", "node2", "lease"]


async def test_who_has_waited_for_long_goes_before_who_is_urgent() -> None:
    stage = Stage(1)
    await stage.come("first")
    for name in ("lease0", "lease1"):
        await stage.come(name)
        await stage.come(f"node of {name}", urgent=True)
        stage.clock.moment += PATIENCE_SECONDS / 2
    await stage.give()
    stage.clock.moment += PATIENCE_SECONDS / 4
    await stage.give(3)
    assert stage.order == ["first", "lease0", "node of lease0", "node of lease1", "lease1"]


async def test_a_turn_that_nobody_waits_for_is_free_for_the_next() -> None:
    stage = Stage(1)
    await stage.come("a")
    await stage.give()
    await stage.come("b", urgent=True)
    assert stage.order == ["a", "b"]


async def test_who_is_cancelled_while_waiting_takes_no_turn() -> None:
    stage = Stage(1)
    await stage.come("a")
    await stage.come("gone", urgent=True)
    await stage.come("b")
    stage.tasks["gone"].cancel()
    await asyncio.gather(stage.tasks["gone"], return_exceptions=True)
    await stage.give()
    assert stage.order == ["a", "b"]


async def test_who_is_cancelled_in_the_moment_of_its_turn_hands_it_on() -> None:
    stage = Stage(1)
    await stage.come("a")
    await stage.come("gone")
    await stage.come("b")
    stage.turns.give()
    stage.tasks["gone"].cancel()
    await asyncio.gather(stage.tasks["gone"], return_exceptions=True)
    await asyncio.sleep(0)
    assert stage.order == ["a", "b"]
    await stage.give()
    await stage.come("c")
    assert stage.order == ["a", "b", "c"]
