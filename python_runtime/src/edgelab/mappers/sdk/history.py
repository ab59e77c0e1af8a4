"""Reports of a device, kept until EdgeCore has answered them: a curve without gaps.

Receives: readings with their time. Sends: reports in their order, each at once while answers come. When
none comes (the broker or EdgeCore is away, or does not know the device yet), the oldest report is sent
again with growing delays, and the others after its answer. Stores: so many reports in memory; the oldest
go first, and are counted. EdgeCore takes their times for devices with a spool (docs/reference/devices.md).
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Iterator, Mapping
from typing import NoReturn

from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import SYSTEM, Clock, happens
from edgelab.mappers.sdk.device import NOT_FOUND, DeviceTwin, Reading
from edgelab.mappers.sdk.mqtt import Broker, Offline

log = logging.getLogger("edgelab.mappers.history")

LIMIT = 3600
"""Reports: an hour with one a second."""
ANSWERED_WITHIN = 3.0
FIRST_WAIT, LONGEST_WAIT = 0.5, 5.0


class History:
    """A module: `run` it, and `put` readings."""

    name = "history"

    def __init__(
        self, broker: Broker, twin: DeviceTwin, *, limit: int = LIMIT, clock: Clock = SYSTEM
    ) -> None:
        self.dropped = 0
        self._broker = broker
        self._twin = twin
        self._limit = limit
        self._clock = clock
        self._reports: dict[str, dict[str, Reading]] = {}
        self._is_flowing = False
        """Whether answers come, so that reports are sent as they are made."""
        self._is_unknown = False
        """Whether the last answer was that there is no such device."""
        self._filled = asyncio.Event()
        self._news = asyncio.Event()
        twin.on_answer(self._on_answer)
        broker.on_connected(self._on_connected)

    @property
    def waiting(self) -> int:
        """Reports without an answer."""
        return len(self._reports)

    def put(self, readings: Mapping[str, Reading]) -> None:
        """Report readings, now or later."""
        if len(self._reports) >= self._limit:
            del self._reports[next(iter(self._reports))]
            self.dropped += 1
        event = uuid.uuid4().hex
        self._reports[event] = dict(readings)
        self._filled.set()
        if self._is_flowing:
            self._send([event])

    async def run(self) -> NoReturn:
        """Send what is not answered again, until cancelled."""
        waits = self._waits()
        while True:
            await self._filled.wait()
            await self._broker.wait_connected()
            self._news.clear()
            if not self._is_flowing:
                self._send([next(iter(self._reports))])
            if await self._heard(ANSWERED_WITHIN) and not self._is_unknown:
                waits = self._waits()
                continue
            self._is_flowing = self._is_unknown = False
            self._news.clear()
            await self._heard(next(waits))

    def _waits(self) -> Iterator[float]:
        return delays(FIRST_WAIT, LONGEST_WAIT)

    def _send(self, events: list[str]) -> None:
        try:
            for event in events:
                self._twin.report(self._reports[event], event)
        except Offline:
            self._is_flowing = False

    def _on_answer(self, event: str, code: int) -> None:
        if event not in self._reports:
            return
        self._news.set()
        if code == NOT_FOUND:  # the device may be made yet
            self._is_flowing, self._is_unknown = False, True
            return
        del self._reports[event]
        if not self._reports:
            self._filled.clear()
        if not self._is_flowing:
            self._is_flowing = True
            self._send(list(self._reports))

    def _on_connected(self) -> None:
        self._is_flowing = False
        self._news.set()

    async def _heard(self, seconds: float) -> bool:
        """Wait for an answer or a connection; False when there was none in time."""
        return await happens(self._news, seconds, self._clock)
