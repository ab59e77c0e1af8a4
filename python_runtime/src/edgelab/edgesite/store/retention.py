"""How much of the past is kept: by time, and by bytes for a site that writes a lot."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from edgelab.daemon.clock import Clock

MARK_SECONDS = 1.0


class History(NamedTuple):
    """What a watch that was away can catch up with, and a list that is read in pages goes on with."""

    seconds: float = 300.0
    max_bytes: int = 64 << 20


class _Mark(NamedTuple):
    when: float
    revision: int
    written: int


class Retention:
    """Says which revision may be forgotten now. One mark a second is enough to know."""

    def __init__(self, limits: History, clock: Clock, revision: int) -> None:
        self._limits = limits
        self._clock = clock
        self._written = 0
        self._marks = deque([_Mark(clock.monotonic(), revision, 0)])

    def add(self, revision: int, size: int) -> bool:
        """A batch was committed; whether there are more bytes of history now than there may be."""
        self._written += size
        if self._written - self._marks[-1].written > self._limits.max_bytes // 8:
            self._marks.append(_Mark(self._clock.monotonic(), revision, self._written))
        else:
            self._mark(revision)
        return self._written - self._marks[0].written > self._limits.max_bytes

    def _mark(self, revision: int) -> None:
        now = self._clock.monotonic()
        if now - self._marks[-1].when >= MARK_SECONDS:
            self._marks.append(_Mark(now, revision, self._written))

    def boundary(self, revision: int) -> int:
        """The newest revision that the limits allow to forget, 0 for none; the present one is `revision`."""
        self._mark(revision)
        now, marks, found = self._clock.monotonic(), self._marks, 0
        while len(marks) > 1 and self._expired(marks[0], now):
            found = marks.popleft().revision
        return found

    def _expired(self, mark: _Mark, now: float) -> bool:
        return (
            now - mark.when >= self._limits.seconds
            or self._written - mark.written > self._limits.max_bytes // 2
        )
