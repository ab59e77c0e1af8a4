"""How fast one mapper may call."""

from __future__ import annotations

from edgelab.daemon.clock import Clock

RATE = 1000.0
"""Calls a second. The original lets all mappers together make one, after a burst of 100."""
BURST = 1000.0


class Bucket:
    """A token bucket: full at first, filled with time."""

    def __init__(self, clock: Clock, rate: float = RATE, burst: float = BURST) -> None:
        self._clock = clock
        self._rate, self._burst = rate, burst
        self._tokens = burst
        self._seen = clock.monotonic()

    def take(self) -> bool:
        """Whether one more call is within the limit."""
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._seen) * self._rate)
        self._seen = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
