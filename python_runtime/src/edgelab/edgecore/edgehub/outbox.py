"""What waits to be sent: by priority, bounded, and no faster than `messageQPS` allows.

The original sends everything from one queue at 30 messages a second, so a busy sensor delays the
node's lease. Here acknowledgements and keepalives are never held back (the cloud bounds them), and
what describes node and pods goes before twins, twins before uploads.
"""

from __future__ import annotations

import asyncio
from collections import deque
from enum import IntEnum

from edgelab.daemon.clock import Clock
from edgelab.edgecore.interfaces import Offline
from edgelab.protocol.message import Message


class Priority(IntEnum):
    """Lower goes first."""

    CONTROL = 0
    STATUS = 1
    TWIN = 2
    BULK = 3


BOUNDS = {Priority.CONTROL: 4096, Priority.STATUS: 1024, Priority.TWIN: 32, Priority.BULK: 1024}
"""Messages that may wait; who brings one more waits until there is room."""


def priority_of(message: Message) -> Priority:
    """The class of a message, from who sends what."""
    route = message.route
    if route.operation in ("response", "error", "keepalive"):
        return Priority.CONTROL
    if route.source == "twin":
        return Priority.TWIN
    return Priority.BULK if route.group == "user" else Priority.STATUS


class Bucket:
    """A token bucket: `rate` tokens a second, `burst` at once; a rate of 0 means no limit."""

    def __init__(self, rate: float, burst: int, clock: Clock) -> None:
        self._rate = rate
        self._burst = max(1, burst)
        self._clock = clock
        self._tokens = float(self._burst)
        self._at = clock.monotonic()

    def delay(self) -> float:
        """Seconds until a token is there; 0 when one is."""
        if self._rate <= 0:
            return 0.0
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        return max(0.0, (1 - self._tokens) / self._rate)

    def take(self) -> None:
        """Use one token."""
        self._tokens -= 1


class Outbox:
    """The queue of one session; `close` makes every waiting and later `put` raise Offline."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._queues: dict[Priority, deque[Message]] = {priority: deque() for priority in Priority}
        self._room = {priority: asyncio.Semaphore(bound) for priority, bound in BOUNDS.items()}
        self._wake = asyncio.Event()
        self._closed = False

    async def put(self, message: Message) -> None:
        """Queue a message, waiting for room. Raises Offline."""
        priority = priority_of(message)
        room = self._room[priority]
        await room.acquire()
        if self._closed:
            room.release()
            raise Offline("the connection to CloudCore was lost")
        self._queues[priority].append(message)
        self._wake.set()

    async def get(self) -> Message:
        """The next message that may be sent."""
        while True:
            wait = self._wait()
            if wait == 0:
                return self._pop()
            self._wake.clear()
            try:
                async with asyncio.timeout(wait):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def close(self) -> None:
        """Drop what waits: senders repeat what still matters after the next connection."""
        self._closed = True
        for priority, messages in self._queues.items():
            messages.clear()
            self._room[priority].release()

    def _wait(self) -> float | None:
        if self._queues[Priority.CONTROL]:
            return 0
        return self._bucket.delay() if any(self._queues.values()) else None

    def _pop(self) -> Message:
        priority = next(p for p in Priority if self._queues[p])
        if priority is not Priority.CONTROL:
            self._bucket.take()
        self._room[priority].release()
        return self._queues[priority].popleft()
