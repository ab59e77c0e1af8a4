"""Python's garbage collector as it is when a daemon starts, and something for it to find."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


class Ring:
    """A cycle."""

    def __init__(self) -> None:
        self.me = self


@contextmanager
def usual_settings() -> Iterator[None]:
    """What Python starts with, whatever a server in this process has set."""
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    try:
        yield
    finally:
        gc.set_threshold(*before)
