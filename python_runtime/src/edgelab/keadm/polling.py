"""Look again and again, with growing pauses, until something is as it should be or the time is up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from edgelab.daemon import backoff
from edgelab.daemon.clock import Clock

Found = TypeVar("Found")
FIRST, CAP = 0.5, 5.0
"""The first pause and the longest, in seconds, before jitter."""


async def until(
    done: Callable[[Found], bool], look: Callable[[], Awaitable[Found]], *, seconds: float, clock: Clock
) -> Found:
    """What `look` found once it is `done`, or as it is after that many seconds. Raises what `look` raises."""
    deadline = clock.monotonic() + seconds
    waits = backoff.delays(FIRST, CAP)
    while True:
        found = await look()
        left = deadline - clock.monotonic()
        if done(found) or left <= 0:
            return found
        await clock.sleep(min(next(waits), left))
