"""What every kind of target does, and how it says that it cannot."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from edgelab.mappers.sdk.push.sample import Sample
from edgelab.objects.pushmethods import Method

DEADLINE = 10.0
BATCH = 100


class Refused(Exception):
    """The target will never take this. `lost` samples are gone; with None those of the call go one by one."""

    def __init__(self, why: str, lost: int | None = None) -> None:
        super().__init__(why)
        self.lost = lost


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """A sample and how its property wants it sent; each is itself alone, even with equal values."""

    method: Method
    sample: Sample


class Target(ABC):
    """One place. `batch` is the most samples of a call, `deadline` its longest time in seconds."""

    batch = BATCH
    deadline = DEADLINE

    @abstractmethod
    async def send(self, items: Sequence[Item]) -> None:
        """Deliver all, connecting if need be. Raises Refused, and Unreachable when all are to be sent again.

        What had arrived before an error may arrive twice.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let the connection go."""
