"""Look again and again, with growing pauses, until something is as it should be or the time is up."""

from __future__ import annotations

import time

FIRST, LONGEST = 0.5, 4.0
"""The first pause and the longest, in seconds; looking costs the host a process each time."""


def poll(look, done, seconds, clock=time):
    """What `look` found once it is `done`, or as it is after that many seconds; and whether it was done.

    Raises what `look` raises. `clock` has `monotonic` and `sleep`.
    """
    deadline = clock.monotonic() + seconds
    pause = FIRST
    while True:
        found = look()
        held = done(found)
        left = deadline - clock.monotonic()
        if held or left <= 0:
            return found, held
        clock.sleep(min(pause, left))
        pause = min(2 * pause, LONGEST)
