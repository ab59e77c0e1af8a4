"""Growing delays for containers that keep ending and images that cannot be pulled.

Source: client-go `util/flowcontrol/backoff.go` as the kubelet sets it up.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgelab.daemon.clock import Clock

FIRST, CAP = 10.0, 300.0
"""Seconds: the kubelet's own, which users know from CrashLoopBackOff."""


@dataclass(slots=True)
class _Entry:
    delay: float
    since: float


class Backoff:
    """Delays by key, 10 s doubling to 5 min; twice the cap without a failure starts again at 10 s."""

    def __init__(self, clock: Clock, first: float = FIRST, cap: float = CAP) -> None:
        self._clock = clock
        self._first, self._cap = first, cap
        self._entries: dict[str, _Entry] = {}

    def failed(self, key: str) -> float:
        """Note a failure now; gives the delay in seconds until the next try."""
        now = self._clock.monotonic()
        entry = self._entries.get(key)
        if entry is None or now - entry.since > 2 * self._cap:
            entry = self._entries[key] = _Entry(self._first, now)
        else:
            entry.delay, entry.since = min(self._cap, entry.delay * 2), now
        return entry.delay

    def waiting(self, key: str, since: float | None = None) -> float:
        """Seconds still to wait, 0 when a try is due; `since` (monotonic) instead of the failure's time."""
        entry = self._entries.get(key)
        if entry is None:
            return 0.0
        start = entry.since if since is None else since
        if start - entry.since > 2 * self._cap:
            return 0.0  # it was well for so long that the past does not count
        return max(0.0, start + entry.delay - self._clock.monotonic())

    def delay(self, key: str) -> float:
        """The current delay in seconds."""
        entry = self._entries.get(key)
        return entry.delay if entry else 0.0

    def forget(self, key: str) -> None:
        """Start from the beginning at the next failure."""
        self._entries.pop(key, None)

    def next_end(self) -> float | None:
        """When (monotonic) the first running delay ends."""
        now = self._clock.monotonic()
        ends = [e.since + e.delay for e in self._entries.values() if e.since + e.delay > now]
        return min(ends, default=None)
