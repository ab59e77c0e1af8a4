"""A bounded queue in front of one database.

Receives: samples and deletions, at any rate. Writes: batches, in order. Stores: at most `limit`
of them in memory; when the database is away for longer than that lasts, the oldest go first, and
are counted. What the database has taken goes into the checkpoint, what the checkpoint has is not
written again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeAlias

from edgelab.daemon import backoff
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.twinexporter.checkpoint import Positions
from edgelab.twinexporter.samples import Device, Sample
from edgelab.twinexporter.sink import Away, Refused, Sink

log = logging.getLogger("edgelab.twinexporter")

BATCH = 5000
FLUSH_SECONDS = 0.2
FIRST_DELAY, LONGEST_DELAY = 0.2, 10.0

Work: TypeAlias = list[Sample] | Device


@dataclass(slots=True)
class Written:
    """What became of samples."""

    lines: int = 0
    batches: int = 0
    failures: int = 0
    dropped: int = 0
    refused: int = 0


class Pipe:
    """A module: `run` it, and `put` samples."""

    def __init__(
        self, sink: Sink, positions: Positions, *, limit: int = 100_000, clock: Clock = SYSTEM
    ) -> None:
        self.name = f"pipe/{sink.name}"
        self.sink = sink
        self.written = Written()
        self.trouble = ""
        """Why the last attempt failed; empty when it did not."""
        self._positions = positions
        self._limit = limit
        self._clock = clock
        self._queue: deque[Sample | Device] = deque()
        self.entered = 0
        """How many samples (and deletions) have come."""
        self._began: int | None = None
        """How many had been done with when the batch under way was taken; None when there is none."""
        self._filled = asyncio.Event()
        self._live: Callable[[], Collection[Device]] | None = None
        self._unsettled = False

    @property
    def waiting(self) -> int:
        """Samples (and deletions) in memory."""
        return len(self._queue)

    @property
    def passed(self) -> int:
        """How many, from the first on, have been done with: written, refused or dropped."""
        return self.entered - len(self._queue) if self._began is None else self._began

    def put(self, sample: Sample, *, past: bool = False) -> None:
        """Take a sample, unless it is written already; the oldest one makes room when there is none.

        `past` means that later samples of the property may be written as well.
        """
        if self.sink.wants(sample) and not self._positions.has(sample, past=past):
            self._push(sample)

    def gone(self, device: Device) -> None:
        """A device was deleted: the database hears of it after the device's last sample."""
        self._push(device)

    def settle(self, live: Callable[[], Collection[Device]]) -> None:
        """Once all devices are known: the database hears which these are when the queue is empty."""
        self._live, self._unsettled = live, True
        self._filled.set()

    async def run(self) -> None:
        """Write what comes, until cancelled; what is left then is written in one last attempt."""
        await self.sink.open()
        try:
            while True:
                await self._filled.wait()
                await self._clock.sleep(FLUSH_SECONDS)
                await self._drain()
        finally:
            if self._queue and await self._attempt(self._take()) is None:
                self._began = None
            await self.sink.close()

    async def _drain(self) -> None:
        delays = backoff.delays(FIRST_DELAY, LONGEST_DELAY)
        while self._queue or self._unsettled:
            wait = await (self._next() if self._queue else self._settle())
            if wait is None:
                delays = backoff.delays(FIRST_DELAY, LONGEST_DELAY)
            else:
                await self._clock.sleep(max(wait, next(delays)))
        self._filled.clear()

    async def _next(self) -> float | None:
        """Try the oldest; None when that is done with, else the seconds that the database asks for."""
        work = self._take()
        try:
            wait = await self._attempt(work)
        except asyncio.CancelledError:
            self._give_back(work)
            raise
        if wait is not None:
            self._give_back(work)
        self._began = None
        return wait

    async def _settle(self) -> float | None:
        assert self._live is not None
        try:
            await self.sink.settle(self._live())
        except Away as error:
            self._failed(str(error))
            return error.wait
        except Refused as error:
            self._failed(str(error))
        else:
            self._succeeded()
        self._unsettled = False
        return None

    def _push(self, item: Sample | Device) -> None:
        if len(self._queue) >= self._limit:
            self._dropped([self._queue.popleft()])
        self._queue.append(item)
        self.entered += 1
        self._filled.set()

    def _take(self) -> Work:
        self._began = self.entered - len(self._queue)
        first = self._queue.popleft()
        if not isinstance(first, Sample):
            return first
        batch = [first]
        while self._queue and len(batch) < BATCH and isinstance(self._queue[0], Sample):
            batch.append(self._queue.popleft())  # type: ignore[arg-type]  # the line above says what it is
        return batch

    def _give_back(self, work: Work) -> None:
        """Samples keep their order; those for which there is no room any more are dropped, oldest first."""
        items: list[Sample | Device] = [*work] if isinstance(work, list) else [work]
        over = max(0, len(items) - (self._limit - len(self._queue)))
        self._dropped(items[:over])
        self._queue.extendleft(reversed(items[over:]))
        self._began = None

    def _dropped(self, items: list[Sample | Device]) -> None:
        samples = sum(isinstance(item, Sample) for item in items)
        self.written.dropped += samples
        if samples < len(items) and self._live is not None:
            self._unsettled = True  # a deletion that the database did not hear of

    async def _attempt(self, work: Work) -> float | None:
        try:
            await (self.sink.write(work) if isinstance(work, list) else self.sink.gone(work))
        except Away as error:
            self._failed(str(error))
            return error.wait
        except Refused as error:
            self._failed(str(error))
            self.written.refused += len(work) if isinstance(work, list) else 0
            return None
        self._succeeded()
        if isinstance(work, list):
            self.written.lines += len(work)
            self.written.batches += 1
            self._positions.advance(work)
        else:
            self._positions.forget(work)
        return None

    def _succeeded(self) -> None:
        if self.trouble:
            log.info("%s takes samples again", self.sink.name)
        self.trouble = ""

    def _failed(self, why: str) -> None:
        self.written.failures += 1
        if not self.trouble:
            log.warning("%s takes no samples: %s", self.sink.name, why)
        self.trouble = why
