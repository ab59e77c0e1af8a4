"""A damaged store comes back from its copy, a full disk is told once, and copies are seldom made."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from pathlib import Path

import pytest
from tests.edgecore.edged.samples import HandClock

from edgelab.daemon.errors import Fatal
from edgelab.edgecore import rescue
from edgelab.edgecore.metamanager import rows
from edgelab.edgecore.store import META_TABLES, Store
from edgelab.edgecore.storecare import LOOK, PERIOD, SETTLE, StoreCare

POD = b'{"metadata":{"name":"web","uid":"u1"}}'


async def filled(path: Path, number: int = 300) -> None:
    """A store of many pages."""
    async with Store(path, META_TABLES) as store:
        for i in range(number):
            store.submit([rows.put(f"default/configmap/c{i:03}", "configmap", b"x" * 900)])
        await store.submit([rows.put("default/pod/web", "pod", POD)])


def overwrite(path: Path, at: int, length: int) -> None:
    """What a power cut leaves of pages that never arrived."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(os.urandom(length))


@pytest.mark.parametrize("harm", ["head", "page", "cut", "empty"])
async def test_a_damaged_store_is_restored_from_its_copy(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, harm: str
) -> None:
    path = tmp_path / "edgecore.db"
    await filled(path)
    rescue.make_copy(path)
    async with Store(path, META_TABLES) as store:
        await store.submit([rows.put("default/pod/later", "pod", b"{}")])
    match harm:
        case "head":
            overwrite(path, 0, 200)
        case "page":
            overwrite(path, path.stat().st_size // 2 // 4096 * 4096, 3 * 4096)
        case "cut":
            os.truncate(path, path.stat().st_size // 2)
        case "empty":
            os.truncate(path, 0)
    async with Store(path, META_TABLES) as store:
        assert rows.value(store, "default/pod/web") == POD
        assert rows.value(store, "default/pod/later") is None, "made after the copy"
        assert store.rescue is not None
        assert store.rescue.reason == "RestoredFromCopy"
        await store.submit([rows.put("default/pod/new", "pod", b"{}")])
    assert "restored from the copy of" in caplog.text
    assert (tmp_path / "edgecore.db.damaged").exists()
    assert (tmp_path / "edgecore.db.damaged").stat().st_mode & 0o077 == 0
    async with Store(path, META_TABLES) as store:
        assert store.rescue is None
        assert rows.value(store, "default/pod/new") == b"{}"


async def test_without_a_good_copy_the_store_starts_empty_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "edgecore.db"
    await filled(path)
    rescue.make_copy(path)
    overwrite(path, 0, 200)
    overwrite(tmp_path / "edgecore.db.copy", 0, 200)
    async with Store(path, META_TABLES) as store:
        assert rows.of_type(store, "pod") == []
        assert store.rescue is not None
        assert store.rescue.reason == "StartedEmpty"
    assert "the store starts empty" in caplog.text


async def test_a_sound_or_missing_store_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "edgecore.db"
    assert rescue.repair(path) is None
    await filled(path, 3)
    assert rescue.repair(path) is None
    assert not (tmp_path / "edgecore.db.damaged").exists()


async def test_a_copy_is_whole_while_the_store_is_written_and_nobody_else_may_read_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "edgecore.db"
    async with Store(path, META_TABLES) as store:
        for i in range(200):
            store.submit([rows.put(f"a/secret/s{i}", "secret", b"y" * 500)])
        await store.submit([rows.put("default/pod/web", "pod", POD)])
        copying = asyncio.create_task(asyncio.to_thread(rescue.make_copy, path))
        await store.submit([rows.put("default/pod/web2", "pod", POD)])
        await copying
    copy = tmp_path / "edgecore.db.copy"
    assert copy.stat().st_mode & 0o077 == 0
    with sqlite3.connect(f"file:{copy}?mode=ro&immutable=1", uri=True) as connection:
        assert connection.execute("SELECT value FROM meta WHERE key='default/pod/web'").fetchone()
    connection.close()


async def test_copies_follow_changes_but_seldom(tmp_path: Path) -> None:
    path, clock = tmp_path / "edgecore.db", HandClock()
    copy = tmp_path / "edgecore.db.copy"
    async with Store(path, META_TABLES) as store:
        care = StoreCare(store, clock)
        await care.look()
        clock.moment += SETTLE
        await care.look()
        assert copy.exists(), "the first copy, without any change"
        first = copy.stat().st_ino
        clock.moment += 10 * PERIOD
        await care.look()
        assert copy.stat().st_ino == first, "nothing changed"
        await store.submit([rows.put("default/pod/web", "pod", POD)])
        await care.look()
        clock.moment += SETTLE
        await care.look()
        second = copy.stat().st_ino
        assert second != first
        await store.submit([rows.put("default/pod/web", "pod", b"{}")])
        for _ in range(int((PERIOD - LOOK) / LOOK)):
            clock.moment += LOOK
            await care.look()
        assert copy.stat().st_ino == second, "at most one an hour"
        clock.moment += 2 * LOOK
        await care.look()
        assert copy.stat().st_ino != second


async def test_a_restart_does_not_bring_a_copy_forward(tmp_path: Path) -> None:
    path, clock = tmp_path / "edgecore.db", HandClock()
    await filled(path, 3)
    rescue.make_copy(path)
    copy = tmp_path / "edgecore.db.copy"
    os.utime(copy, (clock.moment - 60, clock.moment - 60))
    before = copy.stat().st_ino
    async with Store(path, META_TABLES) as store:
        care = StoreCare(store, clock)
        await store.submit([rows.put("default/pod/web", "pod", b"{}")])
        await care.look()
        clock.moment += 2 * SETTLE
        await care.look()
        assert copy.stat().st_ino == before
        clock.moment += PERIOD
        await care.look()
        assert copy.stat().st_ino != before


async def test_a_full_disk_is_told_once_and_writing_resumes_by_itself(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[str] = []
    async with Store(tmp_path / "edgecore.db", META_TABLES) as store:
        store.on_change(lambda: told.append(store.problem))
        care = StoreCare(store, HandClock())
        await store.submit([rows.put("default/pod/web", "pod", POD)])
        used = store.read("PRAGMA page_count")[0][0]
        await store.submit([(f"PRAGMA max_page_count={used}", ())])
        for i in range(5):
            with pytest.raises(sqlite3.OperationalError, match="full"):
                await store.submit([rows.put(f"default/pod/big{i}", "pod", b"z" * 20000)])
        await asyncio.sleep(0)
        assert len(told) == 1
        assert "full" in told[0]
        assert rows.value(store, "default/pod/web") == POD, "reading goes on"
        await care.look()
        assert store.problem, "still full"
        store._writer.execute("PRAGMA max_page_count=100000")  # space is back, and nobody says so
        await care.look()
        await asyncio.sleep(0)
        assert store.problem == ""
        await store.submit([rows.put("default/pod/big", "pod", b"z" * 20000)])
    errors = [r for r in caplog.records if r.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert "can be written again" in caplog.text


async def test_damage_met_while_running_ends_the_process_so_that_the_next_start_repairs(
    tmp_path: Path,
) -> None:
    path = tmp_path / "edgecore.db"
    await filled(path)
    async with Store(path, META_TABLES) as store:
        size = path.stat().st_size
        overwrite(path, 4096, size - 4096)
        with pytest.raises(Fatal, match="next start repairs it"):
            store.read("SELECT * FROM meta ORDER BY value")


def test_room_is_held_back_and_given_up_once(tmp_path: Path) -> None:
    path = tmp_path / "edgecore.db"
    rescue.hold_reserve(path)
    assert (tmp_path / "edgecore.db.reserve").stat().st_size == rescue.RESERVE_BYTES
    assert rescue.give_up_reserve(path)
    assert not rescue.give_up_reserve(path)
