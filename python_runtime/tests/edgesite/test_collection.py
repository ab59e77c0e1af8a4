from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest
from tests.daemon.collector import Ring, usual_settings
from tests.edgesite.site import TestClock

from edgelab.edgesite.collection import INTERVAL, GarbageCollection


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    with usual_settings():
        yield


async def test_old_cycles_are_collected_once_in_a_while_and_the_settings_restored() -> None:
    clock, before = TestClock(), gc.get_threshold()
    task = asyncio.create_task(GarbageCollection(clock).run())
    await asyncio.sleep(0)
    assert gc.get_threshold()[1] > before[1]
    held = Ring()
    ring = weakref.ref(held)
    gc.collect(0)  # old now
    del held
    gc.collect(0)
    assert ring() is not None
    clock.advance(INTERVAL)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert ring() is None
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert gc.get_threshold() == before
