"""What an object costs in memory: its JSON, once, and little more."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

from tests.edgesite.site import TestClock
from tests.edgesite.store.stores import key, opened

from edgelab.daemon.clock import SYSTEM
from edgelab.edgesite.store import Store

OBJECTS = 2000
BODY = b'{"metadata":{"name":"n"},"x":"' + b"x" * 1970 + b'"}'


async def test_an_object_costs_little_more_than_its_bytes(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for number in range(OBJECTS):
            store.put(key(f"pod-{number}"), lambda _: bytes(bytearray(BODY)))
        await store.settled()
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        store = Store(tmp_path, SYSTEM)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        store.close()
    finally:
        tracemalloc.stop()
    assert (after - before) / OBJECTS < len(BODY) + 350


async def test_what_was_derived_for_watchers_does_not_stay_in_the_history(tmp_path: Path) -> None:
    clock = TestClock()
    async with opened(tmp_path, clock=clock) as store:
        with store.watch_now("configmaps") as watch:
            for number in range(200):  # in one group: all are in the history before anybody looks at them
                store.put(key(f"pod-{number}"), lambda _: BODY)
            await store.settled()
            events = await watch.events()
        for event in events:
            event.frames["a line for every watcher"] = BODY
        clock.advance(4)
        last = await store.put(key("soon"), lambda _: BODY)
        assert all(event.frames for event in events), "they are being delivered"
        clock.advance(4)
        await store.put(key("later"), lambda _: BODY)
        assert not any(event.frames for event in events)
        with store.watch_now("configmaps") as late:
            await store.replay(late, events[0].entry.revision, last.revision)
        events[7].frames["a line for a late one"] = BODY
        clock.advance(6)
        await store.put(key("even later"), lambda _: BODY)
        assert not events[7].frames
