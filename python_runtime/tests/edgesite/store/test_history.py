"""How much of the past is kept: by time, by bytes, per resource; and that the file does not grow for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.edgesite.site import TestClock
from tests.edgesite.store.stores import encoder, key, opened, state

from edgelab.edgesite.store import Compacted, Ended
from edgelab.edgesite.store import history as history_module
from edgelab.edgesite.store.retention import History, Retention


def test_what_is_older_than_the_limit_may_be_forgotten_and_nothing_else() -> None:
    clock = TestClock()
    kept = Retention(History(seconds=300, max_bytes=1 << 30), clock, 1)
    for revision in range(2, 602):
        clock.advance(1)
        kept.add(revision, 100)
    assert 299 <= 601 - kept.boundary(601) <= 302
    clock.advance(299)
    assert kept.boundary(601) <= 601
    clock.advance(1)
    assert kept.boundary(601) == 601


def test_a_site_that_writes_a_lot_forgets_sooner() -> None:
    kept = Retention(History(seconds=300, max_bytes=1000), TestClock(), 1)
    crowded = [kept.add(revision, 100) for revision in range(2, 22)]
    assert crowded.index(True) == 10
    boundary = kept.boundary(21)
    assert 13 <= boundary <= 17


async def test_bytes_of_history_are_bounded_on_the_disk(tmp_path: Path) -> None:
    async with opened(tmp_path, History(max_bytes=1 << 20)) as store:
        for number in range(3000):
            store.put(key(f"k{number % 10}"), encoder("x" * 3000))
            if number % 100 == 0:
                await store.settled()
        await store.settled()
        async with asyncio.timeout(60):
            while True:
                size, free, floor = await store.sizes()
                if floor > 2000 and free <= max(size // 4, 1 << 20):
                    break
                await asyncio.sleep(0.02)
        assert size < 6 << 20, "nine megabytes were written"
        with pytest.raises(Compacted):
            await store.list_at("configmaps", 1000)
        assert len(state(store)) == 10


async def test_free_space_goes_back_to_the_file_system(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await asyncio.gather(*(store.put(key(f"k{n}"), encoder("x" * 5000)) for n in range(1000)))
        await asyncio.gather(*(store.delete(key(f"k{n}"), encoder("")) for n in range(1000)))
        before, _, _ = await store.sizes()
        await store.compact(store.revision)
        after, free, _ = await store.sizes()
    assert before > 5 << 20
    assert after < 2 << 20
    assert free <= 1 << 20
    assert (tmp_path / "state.db").stat().st_size < 2 << 20


async def test_the_floor_is_remembered(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        first = await store.put(key("a"), encoder(1))
        await store.put(key("a"), encoder(2))
        await store.compact(store.revision)
    async with opened(tmp_path) as store:
        with pytest.raises(Compacted):
            await store.list_at("configmaps", first.revision)
        with store.watch_now("configmaps") as watch, pytest.raises(Compacted):
            await store.replay(watch, first.revision, store.revision)


async def test_a_quiet_resource_can_be_watched_from_long_ago(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "MAX_EVENTS", 20)
    async with opened(tmp_path) as store:
        quiet = await store.put(key("q", bucket="quiet"), encoder(1))
        for number in range(100):
            await store.put(key("a"), encoder(number))
        await store.compact(store.revision)
        with store.watch_now("quiet") as watch:
            await store.replay(watch, quiet.revision, store.revision)
            await store.put(key("q", bucket="quiet"), encoder(2))
            assert [event.type for event in await watch.events()] == ["MODIFIED"]
        with store.watch_now("configmaps") as watch, pytest.raises(Compacted):
            await store.replay(watch, quiet.revision, store.revision)


async def test_a_watch_ends_with_what_it_has_when_the_store_does(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        with store.watch_now("configmaps") as watch:
            await store.put(key("a"), encoder(1))
            store.end_watches()
            assert len(await watch.events()) == 1
            with pytest.raises(Ended):
                await watch.events()


async def test_whoever_waits_for_news_is_told_of_the_newest_revision(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        waiting = asyncio.create_task(store.advance(store.revision), name="waiting")
        await asyncio.sleep(0)
        assert not waiting.done()
        written = await store.put(key("a"), encoder(1))
        assert await asyncio.wait_for(waiting, 60) == written.revision
