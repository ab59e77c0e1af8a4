"""When Python looks for garbage in cycles, in a daemon whose messages and objects are hardly ever in one."""

from __future__ import annotations

import gc

YOUNG = 10_000
"""So many new objects are looked at together: a few dozen nodes that join, where Python's own 700 are one."""


def leave_loaded() -> None:
    """Call once everything is loaded: it is code and stays, and later collections need not look at it."""
    gc.collect()
    gc.freeze()


def collect_seldom() -> None:
    """`leave_loaded`, and look less often at what comes later."""
    leave_loaded()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])
