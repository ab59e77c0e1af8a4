"""The queue of keys: merged repeats, one worker a key, failures that come back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from tests.cloudcore.cloud import eventually

from edgelab.cloudcore import workqueue
from edgelab.cloudcore.workqueue import WorkQueue
from edgelab.objects.status import ApiError


@contextlib.asynccontextmanager
async def working(
    process: Callable[[str], Awaitable[None]], workers: int = 4
) -> AsyncIterator[WorkQueue[str]]:
    queue: WorkQueue[str] = WorkQueue("test", process, workers=workers)
    task = asyncio.create_task(queue.run())
    try:
        yield queue
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_repeats_of_a_waiting_key_merge_and_those_of_a_running_one_run_once_more() -> None:
    done: list[str] = []
    go = asyncio.Event()

    async def process(key: str) -> None:
        await go.wait()
        done.append(key)

    async with working(process) as queue:
        queue.add("a")
        await asyncio.sleep(0.01)
        for _ in range(5):
            queue.add("a")
            queue.add("b")
        go.set()
        await eventually(lambda: len(queue) == 0 and len(done) >= 3)
        assert sorted(done) == ["a", "a", "b"]


async def test_a_key_is_never_worked_on_twice_at_once() -> None:
    running = 0
    most = 0

    async def process(_key: str) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    async with working(process) as queue:
        for _ in range(5):
            queue.add("a")
            await asyncio.sleep(0.005)
        await eventually(lambda: len(queue) == 0)
    assert most == 1


@pytest.mark.parametrize("error", [ApiError(500, "no"), ValueError("a defect")])
async def test_a_failed_key_comes_back_and_holds_up_no_other(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workqueue, "FIRST_DELAY", 0.02)
    attempts: list[str] = []

    async def process(key: str) -> None:
        attempts.append(key)
        if key == "bad" and attempts.count("bad") < 3:
            raise error

    async with working(process, workers=1) as queue:
        queue.add("bad")
        queue.add("good")
        await eventually(lambda: attempts.count("bad") == 3)
    assert attempts[:2] == ["bad", "good"]


async def test_what_is_asked_for_later_comes_once_and_at_the_earliest_time() -> None:
    done: list[str] = []

    async def process(key: str) -> None:
        done.append(key)

    async with working(process) as queue:
        for seconds in (3600, 0.01, 3600):
            queue.add_later("early", seconds)
        queue.add_later("now", 3600)
        queue.add("now")
        queue.add_later("late", 3600)
        assert len(queue) == 3
        await eventually(lambda: len(done) == 2)
    assert done == ["now", "early"]
