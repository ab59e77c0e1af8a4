"""In which order, and how fast, an edge sends.

The original sends everything from one queue at 30 messages a second, so a busy sensor delays the
node's lease. Here acknowledgements and keepalives are never held back (the cloud bounds them), and
what describes node and pods goes before twins, twins before uploads.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum

from edgelab.protocol.message import Message


class Priority(IntEnum):
    """Lower goes first."""

    CONTROL = 0
    STATUS = 1
    TWIN = 2
    BULK = 3


BOUNDS = {Priority.CONTROL: 4096, Priority.STATUS: 1024, Priority.TWIN: 32, Priority.BULK: 1024}
"""Messages that may wait; there is no room for one more."""


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

    def __init__(self, rate: float, burst: int, now: float) -> None:
        self._rate = rate
        self._burst = max(1, burst)
        self._tokens = float(self._burst)
        self._at = now

    def delay(self, now: float) -> float:
        """Seconds until a token is there; 0 when one is."""
        if self._rate <= 0:
            return 0.0
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        return max(0.0, (1 - self._tokens) / self._rate)

    def take(self) -> None:
        """Use one token."""
        self._tokens -= 1


class SendQueue:
    """What waits to be sent, by priority, bounded, and no faster than the bucket allows."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._queues: dict[Priority, deque[Message]] = {priority: deque() for priority in Priority}

    def __len__(self) -> int:
        return sum(map(len, self._queues.values()))

    def offer(self, message: Message) -> bool:
        """Queue a message; False when there is no room."""
        priority = priority_of(message)
        queue = self._queues[priority]
        if len(queue) >= BOUNDS[priority]:
            return False
        queue.append(message)
        return True

    def next(self, now: float) -> Message | None:
        """The message that is to be sent now; None when there is none, or none may be."""
        if self.delay(now) != 0:
            return None
        priority = next(p for p in Priority if self._queues[p])
        if priority is not Priority.CONTROL:
            self._bucket.take()
        return self._queues[priority].popleft()

    def delay(self, now: float) -> float | None:
        """Seconds until a message may be sent; None when none waits."""
        if self._queues[Priority.CONTROL]:
            return 0.0
        return self._bucket.delay(now) if any(self._queues.values()) else None
