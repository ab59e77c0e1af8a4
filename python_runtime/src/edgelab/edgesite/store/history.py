"""The last changes, in memory: what watches that were away for a moment are served from.

Bounded by events and bytes. Each resource has a floor of its own, so that a quiet one can be watched
from long ago, as with kube-apiserver's watch cache: nothing of it was dropped.
"""

from __future__ import annotations

from collections import deque

from edgelab.daemon.clock import Clock
from edgelab.edgesite.store.entries import Event

MAX_BYTES = 8 << 20
MAX_EVENTS = 8192
WARM_SECONDS = 5.0
"""How long events keep what watchers derived of them: while they are being delivered."""


class Recent:
    """Committed events, newest last. `start` is the revision it begins at."""

    def __init__(self, start: int, clock: Clock) -> None:
        self._start = start
        self._clock = clock
        self._events: deque[Event] = deque()
        self._warm: deque[tuple[float, Event]] = deque()
        self._bytes = 0
        self._floors: dict[str, int] = {}

    def add(self, event: Event) -> None:
        """Take the newest; the oldest go."""
        self._events.append(event)
        self._bytes += _size(event)
        now = self._clock.monotonic()
        self._keep_warm(event, now)
        while now - self._warm[0][0] > WARM_SECONDS:
            self._warm.popleft()[1].cool()
        while self._bytes > MAX_BYTES or len(self._events) > MAX_EVENTS:
            self._drop()

    def _drop(self) -> None:
        event = self._events.popleft()
        self._bytes -= _size(event)
        self._floors[event.entry.key.bucket] = event.entry.revision

    def forget(self, revision: int) -> None:
        """Drop what is not newer than a revision."""
        while self._events and self._events[0].entry.revision <= revision:
            self._drop()

    def after(self, bucket: str, revision: int, until: int) -> list[Event] | None:
        """The changes of a resource in (revision, until], or None when some were dropped."""
        if revision < self._start or revision < self._floors.get(bucket, 0):
            return None
        found = []
        for event in reversed(self._events):
            if event.entry.revision <= revision:
                break
            if event.entry.revision <= until and event.entry.key.bucket == bucket:
                found.append(event)
        found.reverse()
        now = self._clock.monotonic()
        for event in found:
            self._keep_warm(event, now)
        return found

    def _keep_warm(self, event: Event, now: float) -> None:
        if not event.warm:
            event.warm = True
            self._warm.append((now, event))


def _size(event: Event) -> int:
    """The version before stays in memory as long as its event does."""
    return len(event.entry.data) + (len(event.previous.data) if event.previous is not None else 0)
