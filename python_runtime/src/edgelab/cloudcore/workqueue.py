"""A queue of keys: each is worked on by one worker at a time, repeats merge, failures come back later."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Iterator
from typing import Generic, TypeVar

from edgelab.daemon import backoff
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.errors import Unreachable
from edgelab.objects.status import ApiError

log = logging.getLogger("edgelab.cloudcore.workqueue")

K = TypeVar("K", bound=Hashable)

FIRST_DELAY, LONGEST_DELAY = 0.2, 60.0


class WorkQueue(Generic[K]):
    """A module. `add` never blocks; the queue is bounded by the number of distinct keys.

    `process(key)` that raises ApiError or Unreachable is repeated with growing delays, for ever.
    """

    def __init__(
        self,
        name: str,
        process: Callable[[K], Awaitable[None]],
        *,
        workers: int = 4,
        clock: Clock = SYSTEM,
    ) -> None:
        self.name = name
        self._process = process
        self._workers = workers
        self._clock = clock
        self._ready: dict[K, None] = {}
        self._running: set[K] = set()
        self._again: set[K] = set()
        self._delays: dict[K, Iterator[float]] = {}
        self._wake = asyncio.Event()
        self._timers: set[asyncio.TimerHandle] = set()
        self._planned: dict[K, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        return len(self._ready) + len(self._running) + len(self._planned)

    def add(self, key: K) -> None:
        """Have `key` processed soon (once more, if it is being processed now)."""
        if key in self._running:
            self._again.add(key)
            return
        self._ready[key] = None
        if (planned := self._planned.pop(key, None)) is not None:
            planned.cancel()
        self._wake.set()

    def add_later(self, key: K, seconds: float) -> None:
        """Have `key` processed after `seconds`, or with what has it processed before; the earliest counts."""
        if key in self._ready:
            return
        loop = asyncio.get_running_loop()
        planned = self._planned.get(key)
        if planned is None or planned.when() > loop.time() + seconds:
            if planned is not None:
                planned.cancel()
            self._planned[key] = loop.call_later(seconds, self._due, key)

    def _due(self, key: K) -> None:
        self._planned.pop(key, None)
        self.add(key)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._workers):
                    group.create_task(self._work(), name=f"{self.name}/{number}")
        finally:
            for timer in (*self._timers, *self._planned.values()):
                timer.cancel()

    async def _work(self) -> None:
        while True:
            while not self._ready:
                self._wake.clear()
                await self._wake.wait()
            key = next(iter(self._ready))
            del self._ready[key]
            self._running.add(key)
            try:
                await self._process(key)
                self._delays.pop(key, None)
            except (ApiError, Unreachable) as error:
                self._later(key, str(error))
            except Exception as error:  # one object that trips us must not cost all others their service
                log.exception("%s: %s could not be treated", self.name, key)
                self._later(key, repr(error))
            finally:
                self._running.discard(key)
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)

    def _later(self, key: K, reason: str) -> None:
        if key not in self._delays:
            log.warning("%s: %s: %s; trying again", self.name, key, reason)
            self._delays[key] = backoff.delays(FIRST_DELAY, LONGEST_DELAY, floor=0.5)
        timer: asyncio.TimerHandle

        def due() -> None:
            self._timers.discard(timer)
            self.add(key)

        timer = asyncio.get_running_loop().call_later(next(self._delays[key]), due)
        self._timers.add(timer)
