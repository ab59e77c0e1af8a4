"""A clock for a whole site that stands still while anything happens, and otherwise leaps to the next moment.

What takes minutes on a machine's clock takes as long as the work that is done in them, and a busy machine
changes nothing: time passes only when the site has nothing left to do.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import heapq
from collections.abc import Awaitable, Callable
from itertools import count

from edgelab.edgesite.store import Store

ROUNDS, TURNS = 3, 100
"""So often must the disk have answered, and so many turns of the loop gone by, without a write."""


class DrivenClock:
    """The site's clock: begins at the present, and moves only when `reach` moves it."""

    def __init__(self) -> None:
        self._begin = dt.datetime.now(dt.UTC).replace(microsecond=0)
        self._passed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = count()

    def now(self) -> dt.datetime:
        return self._begin + dt.timedelta(seconds=self._passed)

    def monotonic(self) -> float:
        return 1000.0 + self._passed

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.monotonic() + seconds, next(self._number), future))
        await future

    def reach(self, moment: float) -> bool:
        """Go on to the first moment, up to this one, at which somebody wakes; whether there was one."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        first = self._sleepers[0][0] if self._sleepers else moment
        self._passed = max(self._passed, min(first, moment) - 1000.0)
        woken = False
        while self._sleepers and self._sleepers[0][0] <= self.monotonic():
            future = heapq.heappop(self._sleepers)[2]
            if not future.done():
                future.set_result(None)
                woken = True
        return woken


class Driver:
    """The same clock for who plays with the site: to sleep is to let time pass for everybody."""

    def __init__(self, clock: DrivenClock, idle: Callable[[], Awaitable[None]]) -> None:
        self._clock = clock
        self._idle = idle
        self.now = clock.now
        self.monotonic = clock.monotonic

    async def sleep(self, seconds: float) -> None:
        end = self._clock.monotonic() + seconds
        await self._idle()
        while self._clock.reach(end):
            await self._idle()


async def idle(store: Store) -> None:
    """Until nothing is written any more as long as time stands still."""
    still, before = 0, -1
    while still < ROUNDS:
        await store.settled()
        await store.answers()  # what was being read from the disk is read
        for _ in range(TURNS):
            await asyncio.sleep(0)
        still = still + 1 if store.revision == before else 0
        before = store.revision
