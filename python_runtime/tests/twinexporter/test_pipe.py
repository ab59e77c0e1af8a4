"""The queue in front of a database: order, bounds, retries, and what goes into the checkpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from tests.twinexporter.fakes import ListSink, sample

from edgelab.daemon.clock import SystemClock
from edgelab.twinexporter.checkpoint import Positions
from edgelab.twinexporter.pipe import FLUSH_SECONDS, Pipe
from edgelab.twinexporter.sink import Away, Refused


class QuickClock(SystemClock):
    """Does not wait, and keeps what it was asked to."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def delays(self) -> list[float]:
        return [seconds for seconds in self.slept if seconds != FLUSH_SECONDS]


def a_pipe(limit: int = 100) -> tuple[Pipe, ListSink, Positions, QuickClock]:
    sink, positions, clock = ListSink(), Positions(), QuickClock()
    return Pipe(sink, positions, limit=limit, clock=clock), sink, positions, clock


@asynccontextmanager
async def running(pipe: Pipe) -> AsyncIterator[None]:
    task = asyncio.create_task(pipe.run(), name="pipe")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(true: Callable[[], object]) -> None:
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0)
    raise AssertionError("it did not come true")


def test_a_full_queue_drops_the_oldest_and_counts_it() -> None:
    pipe, _, _, _ = a_pipe(limit=3)
    for at in range(5):
        pipe.put(sample(at))
    assert (pipe.waiting, pipe.written.dropped) == (3, 2)
    assert pipe._take() == [sample(2), sample(3), sample(4)]


def test_samples_given_back_keep_their_order_and_the_newest_stay() -> None:
    pipe, _, _, _ = a_pipe(limit=3)
    for at in range(3):
        pipe.put(sample(at))
    batch = pipe._take()
    pipe.put(sample(3))
    pipe._give_back(batch)
    assert (pipe._take(), pipe.written.dropped) == ([sample(1), sample(2), sample(3)], 1)


async def test_what_was_written_is_not_taken_again_and_only_that() -> None:
    pipe, sink, positions, _ = a_pipe()
    async with running(pipe):
        pipe.put(sample(1))
        assert not positions.has(sample(1))
        await until(lambda: sink.taken)
        assert positions.has(sample(1))
        for at in (1, 2, 0):
            pipe.put(sample(at))
        await until(lambda: len(sink.taken) == 3)
    assert sink.taken == [sample(1), sample(2), sample(0)]
    assert positions.at == {("n", "d"): {"t": 0}}


async def test_a_database_that_is_away_gets_everything_later_in_order() -> None:
    pipe, sink, positions, clock = a_pipe()
    sink.errors = [Away("gone fishing")] * 5
    async with running(pipe):
        pipe.put(sample(1))
        await until(lambda: pipe.trouble == "gone fishing")
        assert not positions.at
        pipe.put(sample(2))
        await until(lambda: len(sink.taken) == 2)
        await until(lambda: not pipe.trouble)
    assert sink.taken == [sample(1), sample(2)]
    assert pipe.written.failures == 5
    assert len(clock.delays()) == 5
    assert all(delay <= 0.2 * 2**step for step, delay in enumerate(clock.delays()))


async def test_a_database_that_names_a_time_is_not_asked_before() -> None:
    pipe, sink, _, clock = a_pipe()
    sink.errors = [Away("429", wait=17.0)]
    async with running(pipe):
        pipe.put(sample(1))
        await until(lambda: sink.taken)
    assert clock.delays() == [17.0]


async def test_what_is_refused_is_counted_and_not_in_the_checkpoint() -> None:
    pipe, sink, positions, _ = a_pipe()
    sink.errors = [Refused("400 no")]
    async with running(pipe):
        pipe.put(sample(1))
        await until(lambda: pipe.written.refused == 1)
        assert not positions.at
        pipe.put(sample(2))
        await until(lambda: sink.taken)
    assert sink.taken == [sample(2)]


async def test_a_deletion_keeps_its_place_among_the_samples() -> None:
    pipe, sink, positions, _ = a_pipe()
    pipe.put(sample(1))
    pipe.gone(("n", "d"))
    pipe.put(sample(1, device="other"))
    async with running(pipe):
        await until(lambda: len(sink.taken) == 3)
    assert sink.taken == [sample(1), ("n", "d"), sample(1, device="other")]
    assert positions.at == {("n", "other"): {"t": 1}}


async def test_the_database_hears_who_lives_after_what_waits_and_again_if_a_deletion_was_dropped() -> None:
    pipe, sink, _, _ = a_pipe(limit=2)
    pipe.put(sample(1))
    pipe.settle(lambda: {("n", "d")})
    sink.errors = [Away("no"), Away("no")]
    async with running(pipe):
        await until(lambda: sink.settled)
        assert sink.taken == [sample(1)]
        pipe.gone(("n", "x"))
        pipe.put(sample(2))
        pipe.put(sample(3))
        await until(lambda: len(sink.settled) == 2)
    assert sink.taken == [sample(1), sample(2), sample(3)]


async def test_what_is_under_way_when_it_ends_is_tried_once_more() -> None:
    pipe, sink, _, _ = a_pipe()
    began = asyncio.Event()
    write = sink.write

    async def slow(batch: object) -> None:
        sink.write = write  # type: ignore[method-assign]
        began.set()
        await asyncio.sleep(60)

    sink.write = slow  # type: ignore[method-assign,assignment]
    async with running(pipe):
        pipe.put(sample(1))
        await began.wait()
        pipe.put(sample(2))
    assert sink.taken == [sample(1), sample(2)]
