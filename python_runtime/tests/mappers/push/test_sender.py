"""One target's queue with a driven clock: order, limits, retries, refusals, the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence

import pytest
from tests.mappers.parts import StepClock, settle
from tests.mappers.push.parts import FakeTarget, items

from edgelab.daemon.errors import Unreachable
from edgelab.mappers.sdk.push.sender import Sender
from edgelab.mappers.sdk.push.target import Item, Refused


class Line:
    def __init__(self, limit: int = 1000) -> None:
        self.clock = StepClock()
        self.target = FakeTarget()
        self.sender = Sender("http http://h", self.target, self.clock, limit)
        self.task: asyncio.Task[None] | None = None

    def put(self, *values: str) -> None:
        for item in items(*values):
            self.sender.put(item)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Line]:
        self.task = asyncio.create_task(self.sender.run())
        try:
            yield self
        finally:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)


async def test_samples_leave_in_order_and_together() -> None:
    async with Line().running() as line:
        line.put(*"abc")
        await settle()
        line.put("d")
        await settle()
    assert line.target.calls == [["a", "b", "c"], ["d"]]
    assert line.target.closed == 1


async def test_an_unreachable_target_is_tried_again_ever_more_rarely(
    caplog: pytest.LogCaptureFixture,
) -> None:
    line = Line()
    line.target.fail = Unreachable("connection refused")
    async with line.running():
        line.put("a")
        await line.clock.advance(600)
        assert 20 <= len(line.target.calls) <= 220  # 30 s, less its jitter
        assert line.sender.waiting == 1
        line.put("b")
        line.target.fail = None
        await line.clock.advance(30)
        assert line.target.got == ["a", "b"]
    warned = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert [record.getMessage() for record in warned] == [
        "push to http http://h: connection refused; 1 samples wait"
    ]


async def test_the_oldest_go_when_too_many_wait_and_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    line = Line(limit=10)
    line.target.fail = OSError("gone")
    async with line.running():
        for number in range(25):
            line.put(str(number))
            await line.clock.advance(1)
        assert line.sender.waiting == 10
        assert line.sender.dropped.total == 15
        assert caplog.text.count("samples dropped") == 1  # once a minute
        line.target.fail = None
        await line.clock.advance(30)
        assert line.target.got == [str(number) for number in range(15, 25)]
    assert "1 samples dropped: more than 10 wait" in caplog.text
    assert "works again; 0 samples wait, 14 more were dropped" in caplog.text


async def test_dropping_while_a_call_is_under_way_keeps_the_limit() -> None:
    line = Line(limit=3)
    busy = asyncio.Event()

    async def slow(found: object) -> None:
        await busy.wait()
        raise Unreachable("no")

    line.target.send = slow  # type: ignore[method-assign, assignment]
    async with line.running():
        line.put(*"ab")
        await settle()
        line.put(*"cdef")
        assert line.sender.waiting == 3
        busy.set()
        await settle()
        assert line.sender.waiting == 3


async def test_what_is_refused_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    line = Line()
    line.target.bad = {"b": Refused("too long"), "d": Refused("too long")}
    async with line.running():
        line.put(*"abcde")
        await settle()
        line.put(*"fg")
        await settle()
    assert line.target.got == ["a", "c", "e", "f", "g"]
    assert line.target.calls[0] == ["a", "b", "c", "d", "e"]
    assert line.target.calls[-1] == ["f", "g"]
    assert line.sender.refused.total == 2
    assert caplog.text.count("samples refused, the last: too long") == 1


async def test_what_cannot_be_encoded_is_refused() -> None:
    line = Line()

    async def encode(found: Sequence[Item]) -> None:
        line.target.got += [item.sample.value.encode().decode() for item in found]

    line.target.send = encode  # type: ignore[method-assign]
    async with line.running():
        line.put("a", "\udc80", "b")
        await settle()
    assert line.target.got[-2:] == ["a", "b"]
    assert line.sender.refused.total == 1


def test_a_thousand_samples_may_wait() -> None:
    line = Line()
    line.put(*map(str, range(1500)))
    assert (line.sender.waiting, line.sender.dropped.total) == (1000, 500)


async def test_what_a_target_lost_for_good_is_not_sent_again() -> None:
    line = Line()
    line.target.bad = {"b": Refused("rejected", lost=1)}
    async with line.running():
        line.put(*"abc")
        await settle()
        assert line.target.calls == [["a", "b", "c"]]
        assert (line.sender.waiting, line.sender.refused.total) == (0, 1)


async def test_a_defect_of_a_target_is_its_own_trouble() -> None:
    line = Line()
    line.target.fail = TypeError("oops")
    async with line.running():
        line.put("a")
        await line.clock.advance(5)
        line.target.fail = None
        await line.clock.advance(60)
        assert line.target.got == ["a"]


async def test_a_call_that_hangs_ends() -> None:
    line = Line()
    line.target.deadline = 0.01

    async def hang(found: object) -> None:
        await asyncio.Event().wait()

    send, line.target.send = line.target.send, hang  # type: ignore[method-assign, assignment]
    async with line.running():
        line.put("a")
        await asyncio.sleep(0.05)
        line.target.send = send  # type: ignore[method-assign]
        await line.clock.advance(1)
        assert line.target.got == ["a"]


async def test_the_end_waits_for_what_goes_at_once_and_not_for_a_dead_target(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Line().running() as line:
        line.put(*"abc")
        line.sender.finish()
        await settle()
        assert line.target.got == ["a", "b", "c"]
        assert line.task is not None
        assert line.task.done()
    dead = Line()
    dead.target.fail = Unreachable("no")
    async with dead.running():
        dead.put(*"ab")
        await dead.clock.advance(0.01)
        dead.sender.finish()
        await settle()
        assert dead.task is not None
        assert dead.task.done()
    assert "2 samples are lost with its end" in caplog.text
