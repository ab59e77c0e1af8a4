"""An event loop whose time stands still while anything happens, and otherwise leaps to the next timer.

What takes minutes on a machine's clock takes as long as the work that is done in them, and a busy machine
changes nothing: time passes only when nobody in this process has anything left to do.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
BREATH, PATIENCE = 0.001, 0.5
"""Real seconds without any input before a leap: while it is waited for, and while something else is (an
answer that itself takes time)."""


class Leaping(selectors.DefaultSelector):
    """Waits for input, but never for a timer: when none comes, it is the timer's time at once."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 1000.0
        self.sleepers = 0
        self.jobs = 0
        """Work on other threads, which is no input yet."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return super().select(0)
        found = super().select(BREATH if self.sleepers else PATIENCE)
        if not found and not self.jobs and timeout is not None:
            self.seconds += timeout
        return found


class DrivenLoop(asyncio.SelectorEventLoop):
    """The loop."""

    def __init__(self) -> None:
        self.leaping = Leaping()
        super().__init__(self.leaping)

    def time(self) -> float:
        return self.leaping.seconds

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        future = super().run_in_executor(executor, func, *args)
        self.leaping.jobs += 1
        future.add_done_callback(self._done)
        return future

    def _done(self, _: object) -> None:
        self.leaping.jobs -= 1


class DrivenClock:
    """The loop's time as a clock; begins at the present."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Runs do not differ in when a second ends, and no tenth of a second is its end.
        now = dt.datetime.now(dt.UTC).replace(microsecond=50_000)
        self._begin = now - dt.timedelta(seconds=self._loop.time())

    def now(self) -> dt.datetime:
        return self._begin + dt.timedelta(seconds=self._loop.time())

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Driver(DrivenClock):
    """The same for who plays with a site, and has no other wish while asleep than that time may pass."""

    async def sleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, DrivenLoop)
        loop.leaping.sleepers += 1
        try:
            await asyncio.sleep(seconds)
        finally:
            loop.leaping.sleepers -= 1


def run(main: Coroutine[Any, Any, T]) -> T:
    """On such a loop."""
    with asyncio.Runner(loop_factory=DrivenLoop) as runner:
        return runner.run(main)
