"""The database file: older, newer, foreign, torn and damaged ones, and a disk that refuses."""

from __future__ import annotations

import resource
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.edgesite.store.stores import encoder, key, opened, state

from edgelab.daemon.clock import SYSTEM
from edgelab.daemon.errors import Fatal
from edgelab.edgesite.store import Compacted, Key, Store, StoreFailed
from edgelab.edgesite.store.schema import APPLICATION_ID, VERSION, unusable

LAYOUT_1 = Path(__file__).parent.parent / "vectors" / "state.layout1.db"
"""Written by the version before checksums: three config maps, a node, one change after the compaction."""


@contextmanager
def database(directory: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(directory / "state.db", isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


async def test_a_file_of_the_layout_before_is_taken_over_with_its_history(tmp_path: Path) -> None:
    shutil.copy(LAYOUT_1, tmp_path / "state.db")
    async with opened(tmp_path) as store:
        assert state(store) == {"k0": "second 0", "k2": "second 2"}
        assert store.get(Key("nodes", "", "edge")) is not None
        assert store.revision == 8
        assert {e.key.name for e in await store.list_at("configmaps", 5)} == {"k0", "k1", "k2"}
        with pytest.raises(Compacted):
            await store.list_at("configmaps", 4)
        assert (await store.put(key("k9"), encoder("new"))).revision == 9
    with database(tmp_path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    async with opened(tmp_path) as store:
        assert state(store)["k9"] == "new"
        await store.compact(store.revision)
    with database(tmp_path) as connection:
        assert connection.execute("SELECT count(*) FROM log").fetchone() == (4,)


async def test_a_takeover_that_is_interrupted_leaves_the_old_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgelab.edgesite.store import schema

    shutil.copy(LAYOUT_1, tmp_path / "state.db")

    def interrupted(connection: sqlite3.Connection) -> None:
        schema._add_checksums(connection)
        raise OSError("power cut")

    with monkeypatch.context() as patched:
        patched.setitem(schema.STEPS, 1, interrupted)
        with pytest.raises(Fatal, match="power cut"):
            Store(tmp_path, SYSTEM)
    async with opened(tmp_path) as store:
        assert state(store) == {"k0": "second 0", "k2": "second 2"}


async def test_a_newer_file_is_refused_by_name_and_left_alone(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.put(key("a"), encoder(1))
    with database(tmp_path) as connection:
        connection.execute(f"PRAGMA user_version={VERSION + 1}")
    before = (tmp_path / "state.db").read_bytes()
    with pytest.raises(
        Fatal, match=rf"{tmp_path}/state.db was written by a newer edgesite .*layout {VERSION + 1}"
    ):
        Store(tmp_path, SYSTEM)
    assert (tmp_path / "state.db").read_bytes() == before


def test_a_file_of_another_program_is_refused_by_name(tmp_path: Path) -> None:
    with database(tmp_path) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(Fatal, match="is a database of another program; move it away"):
        Store(tmp_path, SYSTEM)
    (tmp_path / "state.db").write_bytes(b"this is no database, but long enough to look like one" * 40)
    with pytest.raises(Fatal, match=r"is damaged .*edgesite restore FILE --force"):
        Store(tmp_path, SYSTEM)


async def filled(directory: Path, count: int = 200) -> None:
    async with opened(directory) as store:
        for number in range(count):
            await store.put(key(f"k{number:04}"), encoder("x" * 500))


async def test_a_torn_file_is_refused(tmp_path: Path) -> None:
    await filled(tmp_path)
    path = tmp_path / "state.db"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(
        Fatal, match=r"state.db is damaged \(.*restore a backup: edgesite restore FILE --force"
    ):
        Store(tmp_path, SYSTEM)


async def test_a_flipped_bit_in_an_object_is_refused_at_the_start(tmp_path: Path) -> None:
    await filled(tmp_path)
    path = tmp_path / "state.db"
    path.write_bytes(path.read_bytes().replace(b"xxxxxxxxxx", b"xxxxyxxxxx", 1))
    with pytest.raises(
        Fatal, match=r"state.db is damaged \(revision \d+ of configmaps/default/k\d+: wrong checksum"
    ):
        Store(tmp_path, SYSTEM)


async def test_a_row_that_is_damaged_later_is_never_served(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        first = await store.put(key("a"), encoder("good"))
        await store.put(key("b"), encoder("other"))
        second = await store.put(key("a"), encoder("better"))
    async with opened(tmp_path) as store:
        with database(tmp_path) as connection:
            connection.execute("UPDATE log SET value = replace(value, 'good', 'evil')")
        with pytest.raises(StoreFailed, match="wrong checksum"):
            await store.list_at("configmaps", first.revision)
        with store.watch_now("configmaps") as watch, pytest.raises(StoreFailed, match="wrong checksum"):
            await store.replay(watch, first.revision, second.revision)
        assert state(store) == {"a": "better", "b": "other"}


async def test_a_full_disk_refuses_writes_serves_reads_and_recovers_by_itself(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        before = await store.put(key("a"), encoder("kept"))
        connection = store._disk._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count={pages}")  # SQLite's own way to have no more room
        with pytest.raises(StoreFailed, match="etcdserver: mvcc: database space exceeded") as refused:
            await store.put(key("big"), encoder("x" * 500000))
        assert (refused.value.code, refused.value.reason) == (500, "")
        assert store.refusal is not None
        last = store.revision
        assert state(store)["a"] == "kept"
        assert [e.key.name for e in await store.list_at("configmaps", before.revision)] == ["a"]
        with pytest.raises(StoreFailed):
            await store.put(key("big"), encoder("x" * 50000))
        connection.execute("PRAGMA max_page_count=1000000")
        assert (await store.put(key("b"), encoder("again"))).revision == last + 1
        assert store.refusal is None
    async with opened(tmp_path) as store:
        assert state(store)["b"] == "again"


async def test_an_io_error_refuses_writes_and_nothing_of_them_is_kept(tmp_path: Path) -> None:
    """The kernel refuses to let files grow (EFBIG), which reaches SQLite as an I/O error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with opened(tmp_path) as store:
        await store.put(key("a"), encoder("kept"))
        size = (tmp_path / "state.db-wal").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            with pytest.raises(StoreFailed, match=r"the store refused: .*disk I/O error"):
                await store.put(key("b"), encoder("x" * 20000))
            with pytest.raises(StoreFailed):
                await store.probe()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await store.probe()
        await store.put(key("c"), encoder("again"))
    async with opened(tmp_path) as store:
        assert state(store) == {"a": "kept", "c": "again"}


async def test_a_disk_with_hardly_any_room_is_not_called_well_for_a_small_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as store:
        connection = store._disk._connection
        connection.execute("PRAGMA query_only=ON")
        with pytest.raises(StoreFailed):
            await store.put(key("a"), encoder(1))
        connection.execute("PRAGMA query_only=OFF")
        with monkeypatch.context() as patched:
            patched.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 4096))
            with pytest.raises(StoreFailed, match="database space exceeded"):
                await store.probe()
            assert store.refusal is not None
        await store.probe()
        assert store.refusal is None


async def test_a_sound_file_is_opened_and_read_without_a_byte_of_room(tmp_path: Path) -> None:
    """As after a kill on a full disk: everything is in the write-ahead log, and nothing can be written."""
    async with opened(tmp_path / "one") as store:
        await store.put(key("a"), encoder("kept"))
        shutil.copytree(tmp_path / "one", tmp_path / "two")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    room = (tmp_path / "two/state.db-shm").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        async with opened(tmp_path / "two") as store:
            assert state(store) == {"a": "kept"}
            assert store._disk._connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
            with pytest.raises(StoreFailed):
                await store.put(key("b"), encoder("x" * 50000))
            assert state(store) == {"a": "kept"}
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_is_full_at_the_start_is_named(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(Fatal, match=f"{tmp_path}"):
            Store(tmp_path, SYSTEM)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    full = unusable(tmp_path / "state.db", sqlite3.OperationalError("database or disk is full"))
    assert f"the disk of {tmp_path} is full; a few MiB of room are enough" in str(full)


class Reversed:
    """Stands for encryption: what lies on the disk is not what the store holds."""

    def to_disk(self, key: Key, data: bytes) -> bytes:
        return data[::-1] if key.bucket == "secrets" else data

    def from_disk(self, key: Key, stored: bytes) -> bytes:
        return stored[::-1] if key.bucket == "secrets" else stored


async def test_a_transform_stands_between_objects_and_the_disk(tmp_path: Path) -> None:
    secret = key("s", bucket="secrets")
    async with opened(tmp_path, transform=Reversed()) as store:
        first = await store.put(secret, encoder("hidden"))
        await store.put(secret, encoder("hidden too"))
    with database(tmp_path) as connection:
        stored = [bytes(data) for (data,) in connection.execute("SELECT value FROM log")]
    assert all(b"neddih" in data and b"hidden" not in data for data in stored)
    async with opened(tmp_path, transform=Reversed()) as store:
        assert b"hidden too" in store.get(secret).data  # type: ignore[union-attr] # it is there
        [old] = await store.list_at("secrets", first.revision)
        assert old.data == first.data
