"""The queue of one target, and the task that empties it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque

from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import Clock, happens
from edgelab.mappers.sdk.push.target import Item, Refused, Target

log = logging.getLogger("edgelab.mappers.push")

LIMIT = 1000
"""Samples that wait for one target; when there are more, the oldest go."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
SILENCE = 60.0
"""Seconds between two lines about samples that are lost."""
FAREWELL = 2.0


class Tally:
    """Counts what is lost, and says how much at most once in `SILENCE`."""

    def __init__(self, clock: Clock) -> None:
        self.total = 0
        self._clock = clock
        self._said = 0
        self._next = 0.0

    def add(self, count: int) -> int:
        """How many are to be told now; 0 when it is too early to speak again."""
        self.total += count
        now = self._clock.monotonic()
        if now < self._next:
            return 0
        self._next = now + SILENCE
        return self.rest()

    def rest(self) -> int:
        """How many have not been told."""
        told, self._said = self.total - self._said, self.total
        return told


class Sender:
    """Owns a target. Samples leave in the order in which they came."""

    def __init__(self, name: str, target: Target, clock: Clock, limit: int = LIMIT) -> None:
        self.name = name
        self.dropped, self.refused = Tally(clock), Tally(clock)
        self._target = target
        self._clock = clock
        self._limit = limit
        self._queue: deque[Item] = deque()
        self._flight: list[Item] = []
        self._singly = 0
        """Samples that are sent one by one, since one of them was refused."""
        self._news = asyncio.Event()
        self._closing = asyncio.Event()
        self._complaint = ""

    @property
    def waiting(self) -> int:
        """Samples that have not arrived."""
        return len(self._queue) + len(self._flight)

    def put(self, item: Item) -> None:
        """Send a sample when its turn comes."""
        self._queue.append(item)
        self._trim()
        self._news.set()

    def finish(self) -> None:
        """Send what is there as far as it goes at once, and end."""
        self._closing.set()
        self._news.set()

    async def run(self) -> None:
        """Send until `finish` or cancelled."""
        waits = delays(FIRST_WAIT, LONGEST_WAIT)
        try:
            while await self._something():
                if await self._send():
                    waits = delays(FIRST_WAIT, LONGEST_WAIT)
                elif self._closing.is_set():
                    break
                else:
                    await happens(self._closing, next(waits), self._clock)
        finally:
            if self.waiting:
                log.warning("push to %s: %d samples are lost with its end", self.name, self.waiting)
            with contextlib.suppress(Exception):
                async with asyncio.timeout(FAREWELL):
                    await self._target.close()

    async def _something(self) -> bool:
        """Wait for samples; False when there are none and none will come."""
        while not self._queue:
            if self._closing.is_set():
                return False
            self._news.clear()
            await self._news.wait()
        return True

    async def _send(self) -> bool:
        """One call of the target; False when it is to be tried again later."""
        count = 1 if self._singly else min(self._target.batch, len(self._queue))
        self._flight = [self._queue.popleft() for _ in range(count)]
        try:
            async with asyncio.timeout(self._target.deadline):
                await self._target.send(self._flight)
        except Refused as error:
            self._refuse(error)
        except UnicodeError:
            self._refuse(Refused("a value that is no Unicode"))
        except Exception as error:  # whatever a target does, it is its own trouble
            log.debug("push to %s", self.name, exc_info=True)
            self._take_back()
            self._complain(_cause(error))
            return False
        else:
            self._flight = []
            self._arrived()
        self._singly = max(0, self._singly - 1)
        return True

    def _take_back(self) -> None:
        self._queue.extendleft(reversed(self._flight))
        self._flight = []
        self._trim()

    def _trim(self) -> None:
        lost = 0
        while self.waiting > self._limit and self._queue:
            self._queue.popleft()
            lost += 1
        if lost and (told := self.dropped.add(lost)):
            text = "push to %s: %d samples dropped: more than %d wait"
            log.warning(text, self.name, told, self._limit)

    def _refuse(self, error: Refused) -> None:
        lost = len(self._flight) if error.lost is None and len(self._flight) == 1 else error.lost
        if lost is None:
            self._singly = len(self._flight) + 1
            self._take_back()
            return
        self._flight = []
        if told := self.refused.add(lost):
            log.warning("push to %s: %d samples refused, the last: %s", self.name, told, error)

    def _arrived(self) -> None:
        if self._complaint:
            lost = self.dropped.rest()
            log.info(
                "push to %s works again; %d samples wait, %d more were dropped", self.name, self.waiting, lost
            )
            self._complaint = ""

    def _complain(self, text: str) -> None:
        level = logging.DEBUG if text == self._complaint else logging.WARNING
        log.log(level, "push to %s: %s; %d samples wait", self.name, text, self.waiting)
        self._complaint = text


def _cause(error: BaseException) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    return str(error) or type(error).__name__
