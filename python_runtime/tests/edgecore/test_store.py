"""The store commits in order and in groups, and says so when it cannot."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from edgelab.daemon.errors import Fatal
from edgelab.edgecore.metamanager import rows
from edgelab.edgecore.store import BUS_TABLES, META_TABLES, TWIN_TABLES, Store

TABLES = META_TABLES + TWIN_TABLES + BUS_TABLES


async def test_a_finished_job_can_be_read_and_outlives_the_store(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "edgecore.db"
    async with Store(path, TABLES) as store:
        await store.submit([rows.put("default/pod/a", "pod", b'{"x":1}')])
        assert rows.value(store, "default/pod/a") == b'{"x":1}'
        for number in range(1000):
            store.submit([rows.put("default/pod/b", "pod", str(number).encode())])
    async with Store(path, TABLES) as store:
        assert rows.of_type(store, "pod") == [("default/pod/a", b'{"x":1}'), ("default/pod/b", b"999")]


async def test_a_bad_job_fails_alone(tmp_path: Path) -> None:
    async with Store(tmp_path / "e.db", TABLES) as store:
        good = store.submit([rows.put("a", "pod", b"1")])
        bad = store.submit([rows.put("b", "pod", b"1"), ("INSERT INTO nowhere VALUES (1)", ())])
        after = store.submit([rows.put("c", "pod", b"1")], durable=False)
        await good
        with pytest.raises(sqlite3.Error):
            await bad
        await after
        assert [key for key, _ in rows.of_type(store, "pod")] == ["a", "c"]


async def test_the_tables_are_those_of_kubeedge(tmp_path: Path) -> None:
    async with Store(tmp_path / "e.db", TABLES) as store:
        found = {
            table: [row[1] for row in store.read(f"PRAGMA table_info({table})")]
            for table in ("meta", "device", "device_attr", "device_twin", "sub_topics")
        }
    assert found == {
        "meta": ["key", "type", "value"],
        "device": ["id", "name", "description", "state", "last_online"],
        "device_attr": [
            "id",
            "deviceid",
            "name",
            "description",
            "value",
            "optional",
            "attr_type",
            "metadata",
        ],
        "device_twin": [
            *("id", "deviceid", "name", "description", "expected", "actual", "expected_meta", "actual_meta"),
            *("expected_version", "actual_version", "optional", "attr_type", "metadata"),
        ],
        "sub_topics": ["topic"],
    }


async def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    path.mkdir()
    with pytest.raises(Fatal, match=str(path)):
        await Store(path, TABLES).__aenter__()


async def test_a_pod_goes_with_its_status_and_tokens_only_if_it_is_that_pod(tmp_path: Path) -> None:
    token = '"default"/"default"/[]string{}/3607/v1.BoundObjectReference{Kind:"Pod", UID:"u1"}'
    async with Store(tmp_path / "e.db", TABLES) as store:
        store.submit(
            [
                rows.put("default/pod/a", "pod", b'{"metadata":{"uid":"u1"}}'),
                rows.put("default/podpatch/a", "podpatch", b"{}"),
                rows.put(token, "serviceaccounttoken", b"{}"),
            ]
        )
        await store.submit(rows.drop_with_pod("default", "a", "other"))
        assert len(store.read("SELECT * FROM meta")) == 3
        await store.submit(rows.drop_with_pod("default", "a", "u1"))
        assert store.read("SELECT * FROM meta") == []


async def test_nobody_else_may_read_the_files_not_even_those_of_an_earlier_release(tmp_path: Path) -> None:
    path = tmp_path / "e.db"
    path.touch(mode=0o644)
    path.chmod(0o644)
    async with Store(path, TABLES) as store:
        await store.submit([rows.put("default/secret/s", "secret", b"1")])
        modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert modes == {"e.db": 0o600, "e.db-wal": 0o600, "e.db-shm": 0o600}
