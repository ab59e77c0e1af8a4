"""What the exporter wants of a database, and the two ways in which one fails."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from edgelab.twinexporter.samples import Device, Sample


class Away(Exception):
    """The database takes nothing now: the same is tried again, `wait` seconds later at the earliest."""

    def __init__(self, why: str, wait: float = 0.0) -> None:
        super().__init__(why)
        self.wait = wait


class Refused(Exception):
    """The database would refuse the same again: it is dropped and counted."""


class Sink(Protocol):
    """A database. Writing the same sample twice must leave it there once."""

    name: str
    """Where it is, without secrets; its place in the checkpoint goes by this name."""

    def wants(self, sample: Sample) -> bool:
        """Whether it can keep such a sample."""
        ...

    async def open(self) -> None:
        """Get ready for calls; does not connect yet."""
        ...

    async def write(self, batch: Sequence[Sample]) -> None:
        """Return when the samples are kept. Raises Away and Refused."""
        ...

    async def gone(self, device: Device) -> None:
        """A device was deleted. Raises Away and Refused."""
        ...

    async def settle(self, live: Collection[Device]) -> None:
        """All other devices than these are gone. Raises Away and Refused."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
