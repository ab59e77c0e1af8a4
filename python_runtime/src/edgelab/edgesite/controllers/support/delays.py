"""Growing delays by key (client-go `util/flowcontrol.Backoff`)."""

from __future__ import annotations

from edgelab.daemon.clock import Clock


class Delays:
    """How long to wait before doing the same thing again; what rested for long starts anew."""

    def __init__(self, clock: Clock, *, first: float, longest: float) -> None:
        self._clock = clock
        self._first = first
        self._longest = longest
        self._last: dict[str, tuple[float, float]] = {}
        """By key: when it was done, and the delay after that."""

    def next(self, key: str) -> float:
        """0 when it may be done now (and is taken as done), else the seconds to wait."""
        now = self._clock.monotonic()
        self._last = {k: v for k, v in self._last.items() if now - v[0] < 2 * self._longest}
        done, delay = self._last.get(key, (now, 0.0))
        if now - done < delay:
            return delay - (now - done)
        self._last[key] = (now, min(self._longest, 2 * delay) if delay else self._first)
        return 0.0
