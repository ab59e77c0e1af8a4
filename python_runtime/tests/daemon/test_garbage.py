from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from edgelab.daemon.garbage import YOUNG, collect_seldom


class Ring:
    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def usual_settings() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_what_is_loaded_is_left_alone_and_new_cycles_are_found_all_the_same() -> None:
    collect_seldom()
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == (YOUNG, 10, 10)
    ring = weakref.ref(Ring())
    kept = []
    while ring() is not None and len(kept) <= 2 * YOUNG:
        kept.append([None])
    assert ring() is None
