"""When Python looks for garbage in cycles.

Everything that is stored is decoded into many small objects that stay, and none of them are in
cycles. Left alone the collector looks at all of them again and again while they become more: a tenth
of a second and longer for some thousand pods, in which no request is answered. So only young objects
are looked at while the server works, and all of them once in a while.
"""

from __future__ import annotations

import gc

from edgelab.daemon.clock import Clock
from edgelab.daemon.garbage import leave_loaded

YOUNG, NEVER = 20_000, 1_000_000
"""So many new objects are looked at together; and how often (in these) the older ones are."""
INTERVAL = 3600.0


class GarbageCollection:
    """A module."""

    name = "garbage-collection"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def run(self) -> None:
        """Collect until cancelled."""
        before = gc.get_threshold()
        leave_loaded()
        gc.set_threshold(YOUNG, NEVER, NEVER)
        try:
            while True:
                await self._clock.sleep(INTERVAL)
                gc.collect()
        finally:
            gc.set_threshold(*before)
