"""The file that says what each database has."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.twinexporter.fakes import sample

from edgelab.daemon.errors import Fatal
from edgelab.twinexporter.checkpoint import FILE, Checkpoint
from edgelab.twinexporter.samples import Device

NONE: Callable[[], dict[Device, set[str]]] = dict


def live(*names: str) -> Callable[[], dict[Device, set[str]]]:
    return lambda: {("n", "d"): set(names)}


def test_positions_are_those_of_the_database_and_survive(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "state", NONE)
    checkpoint.positions("a").advance([sample(1), sample(2), sample(5, "u")])
    checkpoint.positions("b").advance([sample(1)])
    checkpoint.close()
    checkpoint = Checkpoint(tmp_path / "state", NONE)
    a, b, c = map(checkpoint.positions, "abc")
    checkpoint.close()
    assert a.at == {("n", "d"): {"t": 2, "u": 5}}
    assert (a.has(sample(2)), a.has(sample(1)), a.has(sample(3))) == (True, False, False)
    assert (b.at, c.at) == ({("n", "d"): {"t": 1}}, {})


def test_what_is_gone_leaves_the_file(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, NONE)
    for sink in ("a", "old"):
        checkpoint.positions(sink).advance([sample(1), sample(1, "u"), sample(1, device="x")])
    checkpoint.close()
    checkpoint = Checkpoint(tmp_path, live("t"))
    checkpoint.positions("a")
    checkpoint.settle()
    checkpoint.close()
    with sqlite3.connect(tmp_path / FILE) as file:
        assert [*file.execute("SELECT * FROM position")] == [("a", "n", "d", "t", 1)]
    file.close()


def test_a_deleted_device_is_forgotten(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, NONE)
    positions = checkpoint.positions("a")
    positions.advance([sample(1)])
    checkpoint._store(checkpoint._changes())
    positions.forget(("n", "d"))
    checkpoint.close()
    checkpoint = Checkpoint(tmp_path, NONE)
    assert not checkpoint.positions("a").at
    checkpoint.close()


@pytest.mark.parametrize("damage", ["text", "half", "page", "schema"])
def test_a_damaged_file_is_replaced_and_that_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    checkpoint = Checkpoint(tmp_path, NONE)
    checkpoint.positions("a").advance(sample(at, f"property-{at}") for at in range(2000))
    checkpoint.close()
    file = tmp_path / FILE
    data = file.read_bytes()
    if damage == "schema":
        file.unlink()
        other = sqlite3.connect(file)
        other.execute("CREATE TABLE position (sink TEXT)")
        other.commit()
        other.close()
    else:
        middle = data[:8192] + os.urandom(8192) + data[16384:]
        file.write_bytes({"text": b"no database", "half": data[: len(data) // 2], "page": middle}[damage])
    with caplog.at_level(logging.INFO):
        checkpoint = Checkpoint(tmp_path, NONE)
        assert not checkpoint.positions("a").at
        checkpoint.positions("a").advance([sample(1)])
        checkpoint.close()
        Checkpoint(tmp_path, NONE).close()
    assert [record.levelname for record in caplog.records if record.levelname != "INFO"] == ["WARNING"]
    assert "damaged" in caplog.text


def test_a_missing_file_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            Checkpoint(tmp_path, NONE).close()
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        f"no checkpoint in {tmp_path / FILE} yet"
    ]


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(Fatal, match=r"--state-dir .*/file cannot be used"):
        Checkpoint(tmp_path / "file", NONE)


async def test_a_disk_that_takes_nothing_is_trouble_until_it_does(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path, NONE)
    other = sqlite3.connect(tmp_path / FILE)
    other.execute("BEGIN EXCLUSIVE")
    assert checkpoint._file is not None
    checkpoint._file.execute("PRAGMA busy_timeout = 10")
    positions = checkpoint.positions("a")
    positions.advance([sample(1), sample(1, "u")])
    checkpoint._store(checkpoint._changes())
    assert "locked" in checkpoint.trouble
    positions.advance([sample(2)])
    other.rollback()
    other.close()
    checkpoint._store(checkpoint._changes())
    assert not checkpoint.trouble
    checkpoint.close()
    checkpoint = Checkpoint(tmp_path, NONE)
    assert checkpoint.positions("a").at == {("n", "d"): {"t": 2, "u": 1}}
    checkpoint.close()


async def test_it_is_made_durable_about_once_a_second(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    program = (
        "import asyncio, sys; from pathlib import Path\n"
        "from edgelab.twinexporter.checkpoint import Checkpoint\n"
        "from edgelab.twinexporter.samples import Sample\n"
        "async def main():\n"
        "    checkpoint = Checkpoint(Path(sys.argv[1]), dict)\n"
        "    task = asyncio.create_task(checkpoint.run())\n"
        "    for at in range(300):\n"
        "        checkpoint.positions('a').advance([Sample(('n', 'd'), '', 't', '1', at, 1.0)])\n"
        "        await asyncio.sleep(0.01)\n"
        "    task.cancel(); checkpoint.close()\n"
        "asyncio.run(main())\n"
    )
    command = ["strace", "-f", "-e", "trace=fsync,fdatasync", "-o", str(trace)]
    process = await asyncio.create_subprocess_exec(
        *command, sys.executable, "-c", program, str(tmp_path / "s"), stderr=subprocess.PIPE
    )
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors
    syncs = trace.read_text().count("sync(")
    print(f"300 samples in 3 s: {syncs} fsyncs")
    assert 3 <= syncs <= 20
