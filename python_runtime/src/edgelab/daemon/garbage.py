"""When Python looks for garbage in cycles, in a daemon whose messages and objects are hardly ever in one."""

from __future__ import annotations

import gc

YOUNG = 10_000
"""So many new objects are looked at together: a few dozen nodes that join, where Python's own 700 are one."""


def collect_seldom() -> None:
    """Call once everything is loaded: it is not looked at again, and what comes later less often."""
    gc.collect()
    gc.freeze()  # what exists now is code and stays
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
