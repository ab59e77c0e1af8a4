"""Reports as rows of a real PostgreSQL: columns, deletions, restarts, rights, a database that is away."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from tests.component.twinexporter.postgres import PASSWORD, PostgreSQL
from tests.component.twinexporter.process import Cluster, Exporter, until
from tests.twinexporter.fakes import sample

from edgelab.daemon.errors import Fatal
from edgelab.twinexporter import rows
from edgelab.twinexporter.postgresql import PostgresSink
from edgelab.twinexporter.samples import Sample
from edgelab.twinexporter.sink import Away

COLUMNS = [
    ("time", "timestamp with time zone"),
    ("value", "text"),
    ("namespace", "text"),
    ("sensor", "text"),
    ("active", "boolean"),
    ("device", "text"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    server = PostgreSQL()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def database(server: PostgreSQL) -> PostgreSQL:
    server.database("plant")
    return server


@pytest.fixture
def dsn_file(tmp_path: Path, database: PostgreSQL) -> Path:
    return secret(tmp_path, database.dsn(database="plant"))


def secret(directory: Path, text: str, mode: int = 0o600) -> Path:
    file = directory / "dsn"
    file.write_text(text + "\n", encoding="utf-8")
    file.chmod(mode)
    return file


def table(database: PostgreSQL) -> list[tuple[Any, ...]]:
    columns = "time, value, namespace, sensor, active, device"
    if database.ask("SELECT to_regclass('kubeedge_device')", database="plant") == [(None,)]:
        return []
    return database.ask(
        f"SELECT {columns} FROM kubeedge_device ORDER BY device, sensor, time", database="plant"
    )


def moment(milliseconds: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=milliseconds)


# The exporter as a process


@pytest.fixture
def exporter(tmp_path: Path, cluster: Cluster, dsn_file: Path) -> Iterator[Exporter]:
    exporter = Exporter(tmp_path, cluster, "--url", "", "--postgresql-dsn-file", str(dsn_file))
    yield exporter
    exporter.kill()
    for device in ("boiler", "pump"):
        cluster.delete(device)


def test_each_report_is_one_row_in_the_columns_of_the_tutorial(
    cluster: Cluster, database: PostgreSQL, exporter: Exporter
) -> None:
    first = int(time.time() * 1000) - 60_000
    exporter.start()
    cluster.report("boiler", first, temperature="21.50", mode="eco")
    until(lambda: len(table(database)) == 2, what=exporter.told())
    cluster.report("boiler", first + 1, temperature="21.75", mode="eco")
    until(lambda: len(table(database)) == 4, what=exporter.told())
    assert table(database) == [
        (moment(first), "eco", "default", "mode", True, "boiler"),
        (moment(first + 1), "eco", "default", "mode", True, "boiler"),
        (moment(first), "21.50", "default", "temperature", True, "boiler"),
        (moment(first + 1), "21.75", "default", "temperature", True, "boiler"),
    ]
    asked = (
        "SELECT column_name, data_type FROM information_schema.columns"
        " WHERE table_name = %s ORDER BY ordinal_position"
    )
    assert database.ask(asked, rows.TABLE, database="plant") == COLUMNS
    assert PASSWORD not in exporter.told()


def test_rows_of_a_deleted_device_are_not_active_also_when_it_went_meanwhile(
    cluster: Cluster, database: PostgreSQL, exporter: Exporter
) -> None:
    first = int(time.time() * 1000) - 60_000
    exporter.start()
    for device in ("boiler", "pump"):
        cluster.report(device, first, heat="1")
    until(lambda: len(table(database)) == 2, what=exporter.told())

    def active() -> list[tuple[str, bool]]:
        return [(row[5], row[4]) for row in table(database)]

    cluster.delete("pump")
    until(lambda: active() == [("boiler", True), ("pump", False)], what=exporter.told())
    exporter.kill()
    cluster.delete("boiler")
    (exporter.state / "checkpoint.sqlite").unlink()
    exporter.start()
    until(lambda: active() == [("boiler", False), ("pump", False)], what=exporter.told())
    cluster.report("pump", first + 1, heat="2")
    until(lambda: active() == [("boiler", False), ("pump", False), ("pump", True)], what=exporter.told())


def test_a_database_that_is_away_gets_every_row_once_also_after_a_kill(
    cluster: Cluster, database: PostgreSQL, exporter: Exporter
) -> None:
    first = int(time.time() * 1000) - 60_000
    exporter.start()
    cluster.report("boiler", first, heat="0")
    until(lambda: len(table(database)) == 1, what=exporter.told())
    database.stop()
    try:
        for step in (1, 2, 3):
            cluster.report("boiler", first + step, heat=str(step))
        until(lambda: exporter.counted("waiting_lines") == 3, what=exporter.told())
        until(lambda: exporter.get("/healthz").startswith("database: "), what=exporter.told())
    finally:
        database.start()
    until(lambda: len(table(database)) == 4, what=exporter.told())
    exporter.settle()
    (exporter.state / "checkpoint.sqlite").unlink()
    exporter.kill()
    exporter.start()
    until(lambda: exporter.counted("lines_total") == 1, what=exporter.told())
    assert [(row[0], row[1]) for row in table(database)] == [(moment(first + at), str(at)) for at in range(4)]
    arguments = Path(f"/proc/{exporter.pid}/cmdline").read_bytes().decode()
    assert PASSWORD not in arguments
    assert PASSWORD not in exporter.told()


# The sink itself


@pytest.fixture
async def sink(dsn_file: Path) -> AsyncIterator[PostgresSink]:
    sink = PostgresSink(dsn_file)
    yield sink
    await sink.close()


async def test_texts_that_postgresql_cannot_hold_are_written_with_a_mark(
    sink: PostgresSink, database: PostgreSQL
) -> None:
    odd = Sample(("n", "d"), "", "s'; --", "a\0b\ud800", 1, None)
    await sink.write([odd, sample(2)])
    assert [(row[1], row[3]) for row in table(database)] == [("a\ufffdb?", "s'; --"), ("2", "t")]


async def test_the_same_report_twice_is_one_row_and_the_first_stays(
    sink: PostgresSink, database: PostgreSQL
) -> None:
    await sink.write([sample(1), sample(1)])
    await sink.write([sample(1), Sample(("n", "d"), "", "t", "other", 1, None)])
    assert [row[1] for row in table(database)] == ["1"]
    await sink.gone(("n", "d"))
    await sink.write([sample(1)])
    assert [(row[1], row[4]) for row in table(database)] == [("1", True)]


async def test_a_long_history_is_retired_in_steps_and_quickly(
    sink: PostgresSink, database: PostgreSQL
) -> None:
    await sink.write([sample(1), sample(1, device="other")])
    fill = (
        "INSERT INTO kubeedge_device SELECT to_timestamp(at), '1', 'n', 't', true, 'd'"
        " FROM generate_series(1, 25000) AS at"
    )
    database.ask(fill, database="plant")
    began = time.monotonic()
    await sink.settle([("n", "other")])
    print(f"25,000 rows retired in {time.monotonic() - began:.2f} s")
    counted = "SELECT device, active, count(*) FROM kubeedge_device GROUP BY 1, 2 ORDER BY 1"
    assert database.ask(counted, database="plant") == [("d", False, 25001), ("other", True, 1)]


async def test_of_other_namespaces_nothing_is_retired(dsn_file: Path, database: PostgreSQL) -> None:
    sink = PostgresSink(dsn_file, namespace="plant")
    await sink.write([sample(1), Sample(("plant", "x"), "", "t", "1", 1, 1.0)])
    await sink.settle([])
    await sink.close()
    assert [(row[2], row[4]) for row in table(database)] == [("n", True), ("plant", False)]


async def test_it_writes_with_no_right_but_to_the_table(tmp_path: Path, database: PostgreSQL) -> None:
    for statement in [*rows.SCHEMA, "DROP ROLE IF EXISTS writer", "CREATE ROLE writer LOGIN PASSWORD 'w'"]:
        database.ask(statement, database="plant")
    database.ask("GRANT SELECT, INSERT, UPDATE ON kubeedge_device TO writer", database="plant")
    sink = PostgresSink(secret(tmp_path, database.dsn("writer", "w", "plant")))
    try:
        await sink.write([sample(1)])
        await sink.settle([])
        assert [row[4] for row in table(database)] == [False]
    finally:
        await sink.close()
        database.ask("DROP OWNED BY writer", database="plant")
        database.ask("DROP ROLE writer")


async def test_without_a_right_it_waits_and_says_why(tmp_path: Path, database: PostgreSQL) -> None:
    database.ask("CREATE ROLE guest LOGIN PASSWORD 'g'")
    sink = PostgresSink(secret(tmp_path, database.dsn("guest", "g", "plant")))
    try:
        with pytest.raises(Away, match="permission denied for schema public"):
            await sink.write([sample(1)])
    finally:
        await sink.close()
        database.ask("DROP ROLE guest")


async def test_a_password_that_changes_is_read_anew(tmp_path: Path, database: PostgreSQL) -> None:
    sink = PostgresSink(secret(tmp_path, database.dsn(password="wrong", database="plant")))
    with pytest.raises(Away, match="password authentication failed") as caught:
        await sink.write([sample(1)])
    assert "wrong" not in str(caught.value)
    secret(tmp_path, database.dsn(database="plant"))
    await sink.write([sample(1)])
    await sink.close()
    assert len(table(database)) == 1


async def test_a_statement_that_hangs_is_given_up(
    sink: PostgresSink, database: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sink.write([sample(1)])
    monkeypatch.setattr("edgelab.twinexporter.postgresql.REQUEST_SECONDS", 0.5)
    with psycopg.connect(database.dsn(database="plant")) as other:
        other.execute("LOCK TABLE kubeedge_device")
        with pytest.raises(Away, match="TimeoutError"):
            await asyncio.wait_for(sink.write([sample(2)]), 20)
    await sink.write([sample(2)])
    assert len(table(database)) == 2


# The file


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("postgresql://u:sesame@h/d", 0o644, r"others can read it \(mode 644\): chmod 600"),
        ("postgresql://u:sesame@h/d", 0o640, r"others can read it \(mode 640\): chmod 600"),
        ("sesame", 0o600, "it holds no DSN"),
        ("", 0o600, "it holds no DSN"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_not_quoted(
    tmp_path: Path, text: str, mode: int, said: str
) -> None:
    with pytest.raises(Fatal, match=said) as caught:
        PostgresSink(secret(tmp_path, text, mode))
    assert str(tmp_path) in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_what_systemd_hands_over_may_show_a_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "CREDENTIALS_DIRECTORY", str(tmp_path))
    sink = PostgresSink(secret(tmp_path, "postgresql://u:sesame@h:5433/d", 0o440))
    assert sink.name == "postgresql://h:5433/d"


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match=r"--postgresql-dsn-file .*/none: .*No such file"):
        PostgresSink(tmp_path / "none")


def test_a_missing_libpq_is_named_with_its_package() -> None:
    program = (
        "from pathlib import Path; from edgelab.twinexporter.app import Options, databases\n"
        "databases(Options(Path('k'), [], postgresql_dsn_file=Path('f')))"
    )
    # With this setting psycopg wants its compiled part, which is not there, instead of libpq itself.
    environment = {**os.environ, "PSYCOPG_IMPL": "c"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
    )
    assert "Fatal: --postgresql-dsn-file needs the library libpq" in done.stderr
    assert done.stderr.rstrip().endswith("apt install libpq5")
