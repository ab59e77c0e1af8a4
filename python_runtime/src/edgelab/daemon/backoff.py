"""The one retry policy: growing delays with full jitter and a cap."""

from __future__ import annotations

import random
from collections.abc import Iterator


def delays(first: float, cap: float, *, factor: float = 2.0, floor: float = 0.1) -> Iterator[float]:
    """Endless delays in seconds, each drawn between `floor` of its ceiling and the ceiling.

    Jitter keeps a thousand nodes from coming back in the same instant.
    """
    ceiling = first
    while True:
        yield ceiling * random.uniform(floor, 1.0)  # noqa: S311 - spread, not secrecy
        ceiling = min(cap, ceiling * factor)
