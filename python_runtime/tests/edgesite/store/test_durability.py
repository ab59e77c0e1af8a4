"""No answer before the disk has the write: as the store tells it, and as the kernel saw it."""

from __future__ import annotations

import asyncio
import random
import subprocess
import threading
from pathlib import Path

import pytest
from tests.edgesite.store import traces
from tests.edgesite.store.stores import encoder, key, opened

from edgelab.edgesite.store.rows import Row

WRITER = """
import asyncio, os, sys
from pathlib import Path
from edgelab.daemon.clock import SYSTEM
from edgelab.edgesite.store import Key, Store

async def main():
    store = Store(Path(sys.argv[1]), SYSTEM)
    store._disk._connection.execute("PRAGMA wal_autocheckpoint=40")  # so that there are some
    task = asyncio.create_task(store.run())
    async def write(worker):
        for number in range(15):
            name = f"object-{worker}-{number}."
            body = b'{"metadata":{},"x":"%s"}' % (b"x" * 700 * (number % 4))
            await store.put(Key("b", "", name), lambda rv: body)
            os.write(1, name.encode())
            if number % 5 == 4:
                await store.compact(store.revision - 3)
    await asyncio.gather(*(write(w) for w in range(4)))
    os._exit(0)

asyncio.run(main())
"""
FILES = ("state.db", "state.db-wal")


@pytest.fixture(scope="module", name="calls")
def traced(tmp_path_factory: pytest.TempPathFactory) -> list[traces.Call]:
    """Sixty writes by four writers, with checkpoints and compactions in between."""
    directory = tmp_path_factory.mktemp("traced")
    command = traces.python(directory / "trace", "-c", WRITER, str(directory / "data"))
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120)
    return traces.read(directory / "trace")


def acknowledgements(calls: list[traces.Call]) -> list[traces.Call]:
    found = [call for call in calls if call.name == "write" and call.data.startswith(b"object-")]
    assert len(found) == 60
    return found


def test_the_kernel_had_synced_each_write_before_it_was_acknowledged(calls: list[traces.Call]) -> None:
    for told in acknowledgements(calls):
        written = next(c for c in calls if c.name == "pwrite64" and told.data in c.data)
        assert written.path.endswith("state.db-wal")
        synced = traces.was_synced(calls, written, told)
        assert synced, f"{told.data!r} was acknowledged before it was synced"


async def test_a_power_cut_after_any_acknowledgement_loses_nothing(
    calls: list[traces.Call], tmp_path: Path
) -> None:
    """What was not synced is there or not, sector by sector, as the disk pleases."""
    luck = random.Random(1)
    told: set[str] = set()
    for number, acknowledged in enumerate(acknowledgements(calls)):
        told.add(acknowledged.data.decode())
        directory = tmp_path / str(number)
        directory.mkdir()
        for name, content in traces.after_a_power_cut(calls, acknowledged.ended + 1, FILES, luck).items():
            (directory / name).write_bytes(content)
        async with opened(directory) as store:
            assert told <= {entry.key.name for entry in store.entries("b")}, f"lost at cut {number}"


async def test_the_trace_can_tell_a_store_that_does_not_sync(tmp_path: Path) -> None:
    """The check above, on a store whose disk is told not to wait: it has to fail there."""
    careless = WRITER.replace("wal_autocheckpoint=40", "synchronous=OFF").replace("range(15)", "range(3)")
    command = traces.python(tmp_path / "trace", "-c", careless, str(tmp_path / "data"))
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120)
    calls = traces.read(tmp_path / "trace")
    [*_, last] = [call for call in calls if call.name == "write" and call.data.startswith(b"object-")]
    written = next(c for c in calls if c.name == "pwrite64" and last.data in c.data)
    assert not any(c.name in ("fdatasync", "fsync") and c.began > written.ended for c in calls)
    left = traces.after_a_power_cut(calls, last.ended + 1, FILES, random.Random(1))
    (tmp_path / "after").mkdir()
    for name, content in left.items():
        (tmp_path / "after" / name).write_bytes(content)
    async with opened(tmp_path / "after") as store:
        assert last.data.decode() not in {entry.key.name for entry in store.entries("b")}


async def test_nobody_hears_of_a_write_while_the_disk_is_at_it(tmp_path: Path) -> None:
    """A disk that takes as long as the test wants: no answer, no reader and no watch is ahead of it."""
    async with opened(tmp_path) as store:
        commit, release, batches = store._disk.commit, threading.Event(), list[int]()

        def slow(rows: list[Row]) -> None:
            release.wait(10)
            batches.append(len(rows))
            commit(rows)

        store._disk.commit = slow  # type: ignore[assignment,method-assign] # a disk that waits
        with store.watch_now("configmaps") as watch:
            first = store.put(key("a"), encoder(1))
            await asyncio.sleep(0.1)
            others = [store.put(key(f"n{number}"), encoder(number)) for number in range(50)]
            assert await watch.events(patience=0.1) == []
            assert not first.done()
            assert not any(other.done() for other in others)
            assert store.get(key("a")) is None
            assert list(store.entries("configmaps")) == []
            release.set()
            await asyncio.gather(first, *others)
            assert len(await watch.events()) == 51
    assert batches == [1, 50]
