"""Carrying twins and states to the cloud: the newest value of each, until the cloud confirms it.

One report of a device is under way at a time, and devices take turns; what changes meanwhile goes into the
next one, so a fast sensor costs as many messages as the connection carries and no backlog. Offline, the
names of what changed are kept (bounded by the number of properties); the values are read when it is sent.
Reports of a device with a spool go one by one in their order, each until the cloud has confirmed it.
The original forgets what it could not send.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import Clock
from edgelab.daemon.tasks import Supervisor
from edgelab.edgecore.devicetwin.spool import Spool
from edgelab.edgecore.interfaces import Hub, NoAnswer, Offline
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message
from edgelab.protocol.twin import envelope

log = logging.getLogger(__name__)

STATE = ""
"""Stands for the device's state among the names of its properties, none of which is empty."""

SPOOLED = " "
"""Stands for what the device's spool has."""

CONFIRMED_WITHIN = 3.0
"""Seconds; a CloudCore that cannot write the value says nothing."""

LONGEST_WAIT = 60.0

AT_ONCE = 16
"""Reports under way: at 30 messages a second, which EdgeHub sends unless it is told otherwise, none of them
waits for its turn as long as for its confirmation."""

Build = Callable[[str, set[str]], Message | None]
"""Makes the message for a device and the names that changed; None when the device is gone."""


def twin_report(device_id: str, twins: Any) -> Message:
    """The message with a device's twins."""
    return _report(f"device/{device_id}/twin/edge_updated", envelope(twin=twins))


def state_report(device_id: str, state: bytes) -> Message:
    """The message with a device's state: the original sends it as text, twins as an object."""
    return _report(f"device/{device_id}/state/update", state.decode())


class Reporter:
    """Knows what the cloud has not confirmed; `AT_ONCE` devices at most are reported at a time."""

    def __init__(
        self, hub: Hub, clock: Clock, spool: Spool, twins: Build, state: Callable[[str], Message | None]
    ) -> None:
        self._hub = hub
        self._spool = spool
        self._clock = clock
        self._twins = twins
        self._state = state
        self._due: dict[str, set[str]] = {}
        self._queue: dict[str, None] = {}
        self._busy: set[str] = set()
        self._waits: dict[str, Iterator[float]] = {}
        self._workers = 0
        self._tasks = Supervisor("devicetwin/report")

    def mark(self, device_id: str, names: Iterable[str]) -> None:
        """Note that these properties (or STATE, or SPOOLED) changed."""
        self._due.setdefault(device_id, set()).update(names)
        self._enqueue(device_id)

    def forget(self, device_id: str) -> None:
        """Drop a device that is gone."""
        self._due.pop(device_id, None)
        self._waits.pop(device_id, None)

    def resume(self) -> None:
        """Send what is due, after the cloud came back."""
        for device_id in self._due:
            self._enqueue(device_id)

    async def close(self) -> None:
        """Stop sending."""
        await self._tasks.close()

    def _enqueue(self, device_id: str) -> None:
        if not self._hub.connected or device_id in self._busy or not self._due.get(device_id):
            return
        self._queue[device_id] = None
        if self._workers < AT_ONCE:
            self._workers += 1
            self._tasks.spawn(self._work(), f"{self._workers}")

    async def _work(self) -> None:
        try:
            while self._queue and self._hub.connected:
                device_id = next(iter(self._queue))
                del self._queue[device_id]
                if names := self._due.pop(device_id, None):
                    await self._report(device_id, names)
        finally:
            self._workers -= 1

    async def _report(self, device_id: str, names: set[str]) -> None:
        self._busy.add(device_id)
        try:
            await self._send(device_id, names)
        except Offline:
            self._due.setdefault(device_id, set()).update(names)
        except (NoAnswer, sqlite3.Error) as error:
            log.info("%s; it is sent again", error)
            self._due.setdefault(device_id, set()).update(names)
            waits = self._waits.setdefault(device_id, delays(CONFIRMED_WITHIN, LONGEST_WAIT, floor=0.5))
            self._tasks.spawn(self._again(device_id, next(waits)), device_id)
        else:
            self._waits.pop(device_id, None)
        finally:
            self._busy.discard(device_id)
        if device_id not in self._waits:
            self._enqueue(device_id)

    async def _again(self, device_id: str, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._enqueue(device_id)

    async def _send(self, device_id: str, names: set[str]) -> None:
        while kept := self._spool.oldest(device_id):
            await self._hub.request(twin_report(device_id, kept.twins), CONFIRMED_WITHIN)
            await self._spool.forget(device_id, kept.number)
        if STATE in names and (message := self._state(device_id)) is not None:
            await self._hub.request(message, CONFIRMED_WITHIN)
        properties = names - {STATE, SPOOLED}
        if properties and (message := self._twins(device_id, properties)) is not None:
            await self._hub.request(message, CONFIRMED_WITHIN)


def _report(resource: str, content: Any) -> Message:
    return wire.new(source="twin", group="resource", operation="update", resource=resource, content=content)
