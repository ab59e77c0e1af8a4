"""Samples into a real MariaDB and a real Redis, which refuse, die and come back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.component.mappers.pushing import PASSWORD, TIME, MariaDb, RedisServer, pushing, until

HOSTILE = "a`b'c\"d\\e%s;DROP TABLE x;--"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    server = MariaDb(tmp_path_factory.mktemp("m"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def mariadb(installed: MariaDb) -> MariaDb:
    """Without tables."""
    for (table,) in installed.query("SHOW TABLES"):
        installed.query("DROP TABLE `" + table.replace("`", "``") + "`")
    return installed


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", PASSWORD)


def mysql(server: MariaDb, **changes: str) -> dict[str, Any]:
    config = {"addr": server.address, "database": "d", "userName": "mapper", **changes}
    return {"dbMethod": {"mysql": {"mysqlClientConfig": config}}}


def redis(server: RedisServer, db: int = 0) -> dict[str, Any]:
    return {"dbMethod": {"redis": {"redisClientConfig": {"addr": server.address, "db": db, "poolsize": 30}}}}


async def test_mysql_has_a_table_for_each_property(mariadb: MariaDb) -> None:
    async with pushing(mysql(mariadb), mysql(mariadb), names=("temperature", HOSTILE), kind="string") as push:
        push.put("26.5", HOSTILE, "ü🌡")
        push.put("1", prop=HOSTILE)
        await push.done()
        assert len(push.senders) == 1
    tables = sorted(table for (table,) in mariadb.query("SHOW TABLES"))
    assert tables == [f"default/thermo-1/{HOSTILE}", "default/thermo-1/temperature"]
    columns = mariadb.query("SHOW COLUMNS FROM `default/thermo-1/temperature`")
    assert [column[:4] for column in columns] == [
        ("id", "int(11)", "NO", "PRI"),
        ("ts", "datetime", "NO", ""),
        ("field", "text", "YES", ""),
    ]
    rows = mariadb.query("SELECT field, UNIX_TIMESTAMP(ts) FROM `default/thermo-1/temperature` ORDER BY id")
    assert [row[0] for row in rows] == ["26.5", HOSTILE, "ü🌡"]
    assert rows[0][1] == TIME // 1000


async def test_mysql_that_was_killed_gets_what_waited(
    mariadb: MariaDb, caplog: pytest.LogCaptureFixture
) -> None:
    async with pushing(mysql(mariadb)) as push:
        push.put("0")
        await push.done()
        await asyncio.to_thread(mariadb.kill)
        for number in range(1, 250):
            push.put(str(number))
        await until(lambda: "samples wait" in caplog.text)
        assert push.senders[0].waiting == 249
        await asyncio.to_thread(mariadb.start)
        await push.done()
    rows = mariadb.query("SELECT field FROM `default/thermo-1/temperature` ORDER BY id")
    assert [int(field) for (field,) in rows] == list(range(250))


async def test_mysql_with_a_wrong_password_waits_for_the_right_one(
    mariadb: MariaDb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "edgelab")
    file = tmp_path / "password"
    file.write_text("wr0ng-word\n")
    monkeypatch.delenv("PASSWORD")
    monkeypatch.setenv("PASSWORD_FILE", str(file))
    async with pushing(mysql(mariadb)) as push:
        push.put("1")
        await until(lambda: "Access denied" in caplog.text)
        file.write_text(f"{PASSWORD}\n")
        await push.done()
    assert mariadb.query("SELECT field FROM `default/thermo-1/temperature`") == [("1",)]
    assert "wr0ng-word" not in caplog.text
    assert PASSWORD not in caplog.text


async def test_mysql_refuses_a_value_and_takes_its_neighbours(
    mariadb: MariaDb, caplog: pytest.LogCaptureFixture
) -> None:
    async with pushing(mysql(mariadb), kind="string") as push:
        push.put("1", "x" * 70_000, "3")
        await push.done()
    rows = mariadb.query("SELECT field FROM `default/thermo-1/temperature` ORDER BY id")
    assert rows == [("1",), ("3",)]
    assert "1 samples refused, the last: Data too long for column 'field'" in caplog.text


async def test_a_database_that_is_not_there_yet_is_waited_for(
    mariadb: MariaDb, caplog: pytest.LogCaptureFixture
) -> None:
    mariadb.query("GRANT ALL ON later.* TO mapper@'127.0.0.1'")
    async with pushing(mysql(mariadb, database="later")) as push:
        push.put("1")
        await until(lambda: "Unknown database 'later'" in caplog.text)
        mariadb.query("CREATE DATABASE later")
        await push.done()
    assert mariadb.query("SELECT field FROM later.`default/thermo-1/temperature`") == [("1",)]
    mariadb.query("DROP DATABASE later")


async def test_redis_has_a_sorted_set_for_each_device(redis_server: RedisServer) -> None:
    async with pushing(redis(redis_server, 3), redis(redis_server, 3)) as push:
        push.put("26.5", "27")
        push.put("1", prop="other")
        await push.done()
        with redis_server.client(3) as client:
            found = client.zrange("thermo-1", 0, -1, withscores=True)
            members = [(json.loads(member), score) for member, score in found]
    assert [score for _, score in members] == [TIME, TIME + 1000, TIME + 2000]
    assert members[0][0] == {
        "DeviceName": "thermo-1",
        "PropertyName": "temperature",
        "Namespace": "default",
        "Value": "26.5",
        "Type": "float",
        "TimeStamp": TIME,
    }
    assert members[2][0]["PropertyName"] == "other"


async def test_redis_that_was_killed_gets_what_waited(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with pushing(redis(redis_server)) as push:
        push.put("0")
        await push.done()
        await asyncio.to_thread(redis_server.kill)
        for number in range(1, 250):
            push.put(str(number))
        await until(lambda: "samples wait" in caplog.text)
        await asyncio.to_thread(redis_server.start)
        await push.done()
        with redis_server.client() as client:
            found = client.zrange("thermo-1", 0, -1)
    assert [json.loads(member)["Value"] for member in found] == [str(number) for number in range(250)]


async def test_redis_with_a_wrong_password_waits_for_the_right_one(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "edgelab")
    monkeypatch.setenv("PASSWORD", "wr0ng-word")
    async with pushing(redis(redis_server)) as push:
        push.put("1")
        await until(lambda: "samples wait" in caplog.text)
        monkeypatch.setenv("PASSWORD", PASSWORD)
        await push.done()
        with redis_server.client() as client:
            assert client.zcard("thermo-1") == 1
    assert "wr0ng-word" not in caplog.text


async def test_redis_refuses_a_key_of_another_type(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_server.client() as client:
        client.set("thermo-1", "text")
        async with pushing(redis(redis_server)) as push:
            push.put("1", "2")
            await push.done()
        assert client.get("thermo-1") == "text"
    assert "samples refused, the last: " in caplog.text
    assert "WRONGTYPE" in caplog.text
