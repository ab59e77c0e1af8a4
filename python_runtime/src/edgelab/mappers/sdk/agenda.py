"""When to do what: cycles at fixed moments, without any waiting of its own."""

from __future__ import annotations

import heapq
import itertools


class Agenda:
    """Items with a cycle in seconds. A slow item delays others, but not the moments that follow."""

    def __init__(self, cycles: dict[str, float], now: float) -> None:
        self._cycles = cycles
        self._order = itertools.count()
        self._heap = [(now, next(self._order), name) for name in cycles]
        heapq.heapify(self._heap)

    def wait(self, now: float) -> float | None:
        """Seconds until the next item is due; None when there is none."""
        return max(0.0, self._heap[0][0] - now) if self._heap else None

    def take(self, now: float) -> str:
        """The next item; its following moment is set, and moments that have passed are left out."""
        due, _, name = heapq.heappop(self._heap)
        cycle = self._cycles[name]
        missed = max(0, int((now - due) / cycle))
        heapq.heappush(self._heap, (due + (missed + 1) * cycle, next(self._order), name))
        return name
