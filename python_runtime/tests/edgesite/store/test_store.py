"""The store on a real file: durability, revisions, history and watches. Not covered: HTTP."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests.edgesite.store.stores import encoder, key, opened, state, value

from edgelab.daemon.clock import SYSTEM
from edgelab.daemon.errors import Fatal
from edgelab.edgesite.store import Compacted, Overrun, Store
from edgelab.edgesite.store import compaction as compaction_module
from edgelab.edgesite.store import retention as retention_module
from edgelab.edgesite.store import store as store_module
from edgelab.edgesite.store import watch as watch_module
from edgelab.edgesite.store.disk import AT_ONCE
from edgelab.edgesite.store.retention import History


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.put(key("a"), encoder(1))
        await store.put(key("b"), encoder(2, app="x"))
        await store.put(key("a"), encoder(3))
        await store.delete(key("b"), encoder(2))
        last = store.revision
    async with opened(tmp_path) as store:
        assert [(entry.key.name, value(entry.data)) for entry in store.entries("configmaps")] == [("a", 3)]
        assert store.revision == last
        assert (await store.put(key("c"), encoder(1))).revision == last + 1


async def test_readers_see_a_write_when_it_is_durable_and_writers_before(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        future = store.put(key("a"), encoder(1))
        assert store.get(key("a")) is None
        head = store.head(key("a"))
        assert head is not None
        second = store.delete(key("a"), encoder(1))
        assert store.head(key("a")) is None
        await future
        await second
        assert store.get(key("a")) is None
        assert store.head(key("a")) is None


async def test_writes_that_arrive_together_are_committed_together(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        commits = []
        original = store._disk.commit
        store._disk.commit = lambda rows: (commits.append(len(rows)), original(rows))[1]  # type: ignore[method-assign] # spy
        await asyncio.gather(*(store.put(key(str(i)), encoder(i)) for i in range(200)))
        assert sum(commits) == 200
        assert len(commits) < 10


async def test_whoever_writes_when_a_commit_has_ended_joins_the_next(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        commits = []
        original = store._disk.commit
        store._disk.commit = lambda rows: (commits.append(len(rows)), original(rows))[1]  # type: ignore[method-assign] # spy
        first = store.put(key("first"), encoder(1))

        async def follow() -> None:
            await first
            await store.put(key("next"), encoder(2))

        following = asyncio.create_task(follow())
        while not store._flying:
            await asyncio.sleep(0)
        await asyncio.gather(following, store.put(key("meanwhile"), encoder(3)))
        assert commits == [1, 2]


@pytest.mark.parametrize("count", [1, AT_ONCE - 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE + 2])
async def test_a_batch_of_any_length_is_written_whole(count: int, tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await asyncio.gather(*(store.put(key(str(i)), encoder(i)) for i in range(count)))
    async with opened(tmp_path) as store:
        assert state(store) == {str(i): i for i in range(count)}
        assert store.revision == count + 1


async def test_a_watch_gets_history_and_news_once_and_in_order(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        first = await store.put(key("a"), encoder(1))
        await store.put(key("x", "other"), encoder(1))
        await store.put(key("p", bucket="pods"), encoder(1))
        await store.put(key("a"), encoder(2))
        until = store.revision
        with store.watch_now("configmaps", "default") as watch:
            await store.replay(watch, first.revision, until)
            await store.put(key("b"), encoder(1))
            await store.delete(key("a"), encoder(2))
            events = await watch.events()
        assert [(event.type, event.entry.key.name) for event in events] == [
            ("MODIFIED", "a"),
            ("ADDED", "b"),
            ("DELETED", "a"),
        ]
        assert [event.entry.revision for event in events] == sorted(event.entry.revision for event in events)


async def test_history_survives_a_restart_until_it_is_compacted(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        first = await store.put(key("a"), encoder(1))
        await store.put(key("a"), encoder(2))
    async with opened(tmp_path) as store:
        with store.watch_now("configmaps") as watch:
            await store.replay(watch, first.revision, store.revision)
            (event,) = await watch.events()
        assert event.type == "MODIFIED"
        assert value(event.entry.data) == 2
        assert [value(entry.data) for entry in await store.list_at("configmaps", first.revision)] == [1]
        await store.compact(store.revision)
        with pytest.raises(Compacted):
            await store.list_at("configmaps", first.revision)
        with store.watch_now("configmaps") as watch, pytest.raises(Compacted):
            await store.replay(watch, first.revision, store.revision)
    async with opened(tmp_path) as store:
        assert [value(entry.data) for entry in store.entries("configmaps")] == [2]


async def test_a_reader_that_falls_behind_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "MAX_EVENTS", 5)
    async with opened(tmp_path) as store:
        with store.watch_now("configmaps") as watch:
            await asyncio.gather(*(store.put(key(str(i)), encoder(i)) for i in range(7)))
            with pytest.raises(Overrun):
                await watch.events()


async def test_a_refused_write_leaves_the_state_as_it_was(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.put(key("a"), encoder(1))
        original, before = store._disk.commit, store.revision

        def full(rows: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        store._disk.commit = full  # type: ignore[method-assign] # the disk is full
        with pytest.raises(Exception, match="full"):
            await store.put(key("a"), encoder(2))
        store._disk.commit = original  # type: ignore[method-assign] # and is no longer
        entry = store.head(key("a"))
        assert entry is not None
        assert value(entry.data) == 1
        assert (await store.put(key("b"), encoder(1))).revision == before + 1


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(Fatal, match=str(blocked)):
        Store(blocked, SYSTEM)


WRITER = """
import asyncio, sys
from pathlib import Path
from edgelab.daemon.clock import SYSTEM
from edgelab.edgesite.store import Key, Store

async def main():
    store = Store(Path(sys.argv[1]), SYSTEM)
    task = asyncio.create_task(store.run())
    async def write(worker):
        for i in range(100000):
            await store.put(Key("b", "", f"{worker}-{i}"), lambda rv: b'{"metadata":{}}')
            print(f"{worker}-{i}", flush=True)
    await asyncio.gather(*(write(w) for w in range(8)))

asyncio.run(main())
"""


async def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    acknowledged = [process.stdout.readline().strip() for _ in range(200)]
    os.kill(process.pid, signal.SIGKILL)
    acknowledged += [line.strip() for line in process.stdout if line.endswith("\n")]
    process.wait()
    process.stdout.close()
    async with opened(tmp_path) as store:
        kept = {entry.key.name for entry in store.entries("b")}
    assert set(acknowledged) <= kept


async def test_compaction_in_slices_keeps_what_is_present_and_what_came_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction_module, "COMPACTION_ROWS", 7)
    async with opened(tmp_path) as store:
        for number in range(30):
            await store.put(key(f"k{number % 3}"), encoder(number))
        await store.delete(key("k0"), encoder("gone"))
        boundary = store.revision
        later = await store.put(key("k1"), encoder("later"))
        await store.compact(boundary)
        at_boundary = {
            entry.key.name: value(entry.data) for entry in await store.list_at("configmaps", boundary)
        }
        assert at_boundary == {"k1": 28, "k2": 29}
        with store.watch_now("configmaps") as watch:
            await store.replay(watch, boundary, later.revision)
            assert [value(event.entry.data) for event in await watch.events()] == ["later"]
    database = sqlite3.connect(tmp_path / "state.db")
    assert database.execute("SELECT count(*) FROM log").fetchone() == (3,)
    database.close()


async def test_compaction_that_the_disk_refuses_is_tried_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compaction_module, "COMPACTION_SECONDS", 0.02)
    monkeypatch.setattr(retention_module, "MARK_SECONDS", 0.0)
    async with opened(tmp_path, History(seconds=0.02)) as store:
        await store.put(key("a"), encoder(1))
        connection = store._disk._connection
        connection.execute("PRAGMA query_only=ON")  # refuses writes, as a full disk does
        await asyncio.sleep(0.2)
        with pytest.raises(store_module.StoreFailed):
            await asyncio.wait_for(asyncio.shield(store.put(key("b"), encoder(1))), 60)
        assert value(store.get(key("a")).data) == 1
        connection.execute("PRAGMA query_only=OFF")
        await asyncio.wait_for(store.put(key("b"), encoder(2)), 60)
        await store.put(key("b"), encoder(3))
        first = store.revision
        await store.put(key("b"), encoder(4))
        async with asyncio.timeout(60):
            while (await store.sizes())[2] < first:
                await asyncio.sleep(0.02)
        with pytest.raises(Compacted):
            await store.list_at("configmaps", first - 1)
