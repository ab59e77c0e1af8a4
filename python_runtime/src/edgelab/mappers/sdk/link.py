"""How a mapper and EdgeCore reach one another, whatever carries it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from edgelab.mappers.sdk.model import Device


class Offline(Exception):
    """EdgeCore (or the broker) cannot be reached now; the newest values are sent later."""


class Refused(Exception):
    """EdgeCore does not take this; sending it again would not help."""


class Reported(NamedTuple):
    """A reading on its way: text, its type in KubeEdge's words, what is wanted, and when (ms)."""

    value: str
    type: str
    desired: str
    time: int


class Link(Protocol):
    """Takes reports. Both calls raise Offline or Refused."""

    async def report(self, device: Device, values: Mapping[str, Reported]) -> None:
        """Send values of properties."""
        ...

    async def report_state(self, device: Device, state: str) -> None:
        """Send the device's state."""
        ...
