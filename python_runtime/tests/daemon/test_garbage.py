from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
from tests.daemon.collector import Ring, usual_settings

from edgelab.daemon.garbage import YOUNG, collect_seldom


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    with usual_settings():
        yield
        gc.unfreeze()


def test_what_is_loaded_is_left_alone_and_new_cycles_are_found_all_the_same() -> None:
    collect_seldom()
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == (YOUNG, 10, 10)
    ring = weakref.ref(Ring())
    kept = []
    while ring() is not None and len(kept) <= 2 * YOUNG:
        kept.append([None])
    assert ring() is None
