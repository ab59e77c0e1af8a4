"""Readings that came with another one's request, for the calls that follow at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.mappers.sdk.model import Property
from edgelab.mappers.sdk.values import Value

FRESH = 0.2
"""Seconds for which a reading counts as one of now."""


class Ahead:
    """Keeps what was read ahead: each reading is taken once, and only while it is fresh."""

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self._clock = clock
        self._kept: dict[str, Value] = {}
        self._until = 0.0

    def take(self, name: str) -> Value | None:
        """A fresh reading, or None."""
        if self._clock.monotonic() > self._until:
            self._kept = {}
        return self._kept.pop(name, None)

    def keep(self, values: Mapping[str, Value]) -> None:
        """Have these instead of all others."""
        self._kept = dict(values)
        self._until = self._clock.monotonic() + FRESH

    def forget(self) -> None:
        """Read anew: something was written."""
        self._kept = {}


def due_with(prop: Property, properties: Iterable[Property]) -> list[Property]:
    """The properties that are read in the same cycle as `prop`, which is among them."""
    return [item for item in properties if item.cycle == prop.cycle]
