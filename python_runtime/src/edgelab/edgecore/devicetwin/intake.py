"""Requests of MQTT clients on their way in: every device has its turn, however fast another one's mapper is.

Each device has a queue of its own, and they are served in turn. What is more than `ANSWERED` requests behind
is carried out without being answered: the last value of every property arrives, and memory stays bounded.
When `WAITING` requests of all devices wait, EventBus waits too.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import NoReturn

from edgelab.daemon.clock import Clock
from edgelab.edgecore.devicetwin.commits import Commits
from edgelab.protocol.topics import Address

log = logging.getLogger(__name__)

ANSWERED = 128
"""Requests of one device that wait to be carried out and answered."""
WAITING = 4096
MOST_BYTES = 4 << 20
"""Of all payloads that wait."""
BREATH = 32
"""Requests that are carried out before others may run."""
COMPLAIN_EVERY = 60.0

Handle = Callable[[Address, bytes, bool], None]
"""Carries a request out; the last argument says whether it is to be answered."""


class Intake:
    """Owned by DeviceTwin, which runs it."""

    def __init__(self, handle: Handle, commits: Commits, clock: Clock) -> None:
        self._handle = handle
        self._commits = commits
        self._clock = clock
        self._queues: dict[str, deque[tuple[Address, bytes]]] = {}
        self._count = self._bytes = 0
        self._news = asyncio.Event()
        self._freed = asyncio.Event()
        self._complained = float("-inf")
        self.unanswered = 0
        """Requests that were carried out and not answered, since the start."""

    async def put(self, address: Address, payload: bytes) -> None:
        """Queue a request; waits while too much waits."""
        while self._count >= WAITING or self._bytes > MOST_BYTES:
            self._freed.clear()
            await self._freed.wait()
        self._queues.setdefault(address.id, deque()).append((address, payload))
        self._count += 1
        self._bytes += len(payload)
        self._news.set()

    async def run(self) -> NoReturn:
        """Carry requests out until cancelled."""
        done = 0
        while True:
            await self._news.wait()
            self._news.clear()
            while self._queues:
                for device in list(self._queues):
                    done += self._serve(device)
                    if done >= BREATH:
                        done = 0
                        await self._commits.room()
                        await asyncio.sleep(0)

    def _serve(self, device: str) -> int:
        """One request of a device, and before it those that are too far behind to be answered."""
        queue, behind = self._queues[device], 0
        while len(queue) > ANSWERED:
            self._next(queue, answered=False)
            behind += 1
        self._next(queue, answered=True)
        if not queue:
            del self._queues[device]
        if behind:
            self._complain(device, behind)
        return 1 + behind

    def _next(self, queue: deque[tuple[Address, bytes]], *, answered: bool) -> None:
        address, payload = queue.popleft()
        self._count -= 1
        self._bytes -= len(payload)
        self._freed.set()
        self._handle(address, payload, answered)

    def _complain(self, device: str, behind: int) -> None:
        self.unanswered += behind
        now = self._clock.monotonic()
        if now - self._complained >= COMPLAIN_EVERY:
            self._complained = now
            log.warning("device %s is sent more requests than can be answered; values still arrive", device)
