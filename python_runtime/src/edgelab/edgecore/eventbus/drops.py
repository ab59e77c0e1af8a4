"""What is lost or refused, in the log: the first time at once, then once a minute with the number."""

from __future__ import annotations

import logging

from edgelab.daemon.clock import Clock

log = logging.getLogger(__name__)

EVERY = 60.0
"""Seconds between two lines about the same."""

DIFFERENT = 64
"""Different things that are told in a minute; others are not."""


class Drops:
    """Counts, by what happened."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: dict[str, int] = {}
        self._told = clock.monotonic()

    def count(self, what: str, times: int = 1) -> None:
        """Take note of something that happened, such as "a message was too large"."""
        if self._clock.monotonic() - self._told >= EVERY:
            self.tell()
        if what in self._counts:
            self._counts[what] += times
        elif len(self._counts) < DIFFERENT:
            self._counts[what] = times - 1
            log.warning("MQTT: %s", what)

    def tell(self) -> None:
        """Log what was counted since the last time."""
        self._told = self._clock.monotonic()
        for what, times in self._counts.items():
            if times:
                log.warning("MQTT: %s (%d more times)", what, times)
        self._counts = {}
