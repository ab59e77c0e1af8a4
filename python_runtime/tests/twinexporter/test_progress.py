"""Which version of the watch a restart may go on from: none whose samples a database still waits for."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.twinexporter.fakes import ListSink, sample

from edgelab.daemon.clock import SYSTEM
from edgelab.twinexporter.checkpoint import Checkpoint, Positions
from edgelab.twinexporter.pipe import Pipe
from edgelab.twinexporter.progress import Progress
from edgelab.twinexporter.sink import Away


class Watch:
    version = ""


def parts(limit: int = 100) -> tuple[Watch, Progress, list[Pipe]]:
    watch = Watch()
    pipes = [Pipe(ListSink(), Positions(), limit=limit, clock=SYSTEM) for _ in range(2)]
    return watch, Progress(lambda: watch.version, pipes), pipes


async def test_the_slowest_database_says_how_far_it_is() -> None:
    watch, progress, pipes = parts()
    assert progress() == ""
    watch.version = "5"
    assert progress() == "5"
    for pipe in pipes:
        pipe.put(sample(1))
    watch.version = "6"
    assert progress() == "5"
    assert await pipes[0]._next() is None
    assert progress() == "5"
    pipes[1].put(sample(2))
    watch.version = "7"
    pipes[1].sink.errors = [Away("not now")]  # type: ignore[attr-defined]
    assert await pipes[1]._next() is not None
    assert progress() == "5"
    assert await pipes[1]._next() is None
    assert progress() == "7"


async def test_under_constant_load_it_goes_on_too() -> None:
    watch, progress, pipes = parts()
    found = []
    for version in range(1, 6):
        for pipe in pipes:
            pipe.put(sample(version))
        watch.version = str(version)
        found.append(progress())
        for pipe in pipes:
            work = pipe._take()
            pipe.put(sample(version + 100))  # never empty
            assert await pipe._attempt(work) is None
            pipe._began = None
    assert found == ["", "1", "2", "3", "4"]


async def test_a_batch_under_way_counts_as_waiting_also_when_others_are_dropped() -> None:
    watch, progress, (first, _) = parts(limit=2)
    first.put(sample(1))
    watch.version = "3"
    batch = first._take()
    for at in range(2, 9):
        first.put(sample(at))
    assert (first.written.dropped, first.passed, progress()) == (5, 0, "")
    first._give_back(batch)
    assert (first.written.dropped, first.passed, progress()) == (6, 6, "")
    assert await first._next() is None
    assert (first.passed, progress()) == (8, "3")


async def test_a_last_attempt_that_fails_is_not_passed() -> None:
    for errors, passed in (([], 1), ([Away("gone")], 0)):
        pipe = parts()[2][0]
        pipe.sink.errors = list(errors)  # type: ignore[attr-defined]
        pipe.put(sample(1))
        task = asyncio.create_task(pipe.run(), name="pipe")
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert pipe.passed == passed


def test_it_is_kept_with_the_checkpoint(tmp_path: Path) -> None:
    for before, now in (("", "5"), ("5", ""), ("5", "7"), ("7", "7")):
        checkpoint = Checkpoint(tmp_path, dict)
        assert checkpoint.watched(lambda now=now: now) == before  # type: ignore[misc]
        checkpoint.close()
    assert Checkpoint(None, dict).watched(lambda: "1") == ""


def test_of_the_past_only_what_is_later_is_new() -> None:
    positions = Positions()
    positions.advance([sample(5)])
    assert [positions.has(sample(at), past=True) for at in (4, 5, 6)] == [True, True, False]
    assert not positions.has(sample(4, "u"), past=True)
