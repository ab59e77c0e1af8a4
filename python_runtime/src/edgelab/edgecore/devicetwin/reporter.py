"""Carrying twins and states to the cloud: the newest value of each, until the cloud confirms it.

One report of a device is under way at a time; what changes meanwhile goes into the next one, so a
fast sensor costs as many messages as the connection carries and no backlog. Offline, the names of
what changed are kept (bounded by the number of properties); the values are read when it is sent.
The original forgets what it could not send.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import Clock
from edgelab.daemon.tasks import Supervisor
from edgelab.edgecore.interfaces import Hub, NoAnswer, Offline
from edgelab.protocol.message import Message

log = logging.getLogger(__name__)

STATE = ""
"""Stands for the device's state among the names of its properties, none of which is empty."""

CONFIRMED_WITHIN = 3.0
"""Seconds; a CloudCore that cannot write the value says nothing."""

LONGEST_WAIT = 60.0

Build = Callable[[str, set[str]], Message | None]
"""Makes the message for a device and the names that changed; None when the device is gone."""


class Reporter:
    """Knows what the cloud has not confirmed."""

    def __init__(self, hub: Hub, clock: Clock, twins: Build, state: Callable[[str], Message | None]) -> None:
        self._hub = hub
        self._clock = clock
        self._twins = twins
        self._state = state
        self._due: dict[str, set[str]] = {}
        self._news: dict[str, asyncio.Event] = {}
        self._tasks = Supervisor("devicetwin/report")

    def mark(self, device_id: str, names: Iterable[str]) -> None:
        """Note that these properties (or STATE) changed."""
        self._due.setdefault(device_id, set()).update(names)
        self._start(device_id)

    def forget(self, device_id: str) -> None:
        """Drop a device that is gone."""
        self._due.pop(device_id, None)

    def resume(self) -> None:
        """Send what is due, after the cloud came back."""
        for device_id in list(self._due):
            self._start(device_id)

    async def close(self) -> None:
        """Stop sending."""
        await self._tasks.close()

    def _start(self, device_id: str) -> None:
        if device_id in self._news:
            self._news[device_id].set()
        elif self._hub.connected and self._due.get(device_id):
            self._news[device_id] = asyncio.Event()
            self._tasks.spawn(self._work(device_id), device_id)

    async def _work(self, device_id: str) -> None:
        waits = delays(CONFIRMED_WITHIN, LONGEST_WAIT, floor=0.5)
        news = self._news[device_id]
        try:
            while names := self._due.pop(device_id, None):
                news.clear()
                try:
                    await self._send(device_id, names)
                except Offline:
                    self._due.setdefault(device_id, set()).update(names)
                    return
                except NoAnswer as error:
                    log.info("%s; it is sent again", error)
                    self._due.setdefault(device_id, set()).update(names)
                    await self._pause(news, next(waits))
        finally:
            del self._news[device_id]

    async def _send(self, device_id: str, names: set[str]) -> None:
        if STATE in names and (message := self._state(device_id)) is not None:
            await self._hub.request(message, CONFIRMED_WITHIN)
        properties = names - {STATE}
        if properties and (message := self._twins(device_id, properties)) is not None:
            await self._hub.request(message, CONFIRMED_WITHIN)

    async def _pause(self, news: asyncio.Event, seconds: float) -> None:
        if news.is_set():
            return
        try:
            async with asyncio.timeout(seconds):
                await news.wait()
        except TimeoutError:
            return
