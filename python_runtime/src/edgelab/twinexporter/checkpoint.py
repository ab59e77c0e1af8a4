"""What each database has, in a small file: one timestamp a property, so that a restart goes on there.

Receives: samples that a database has taken, and how far the watch is whose samples all of them have.
Stores: `checkpoint.sqlite` in the state directory, made durable at most once a second; entries of
devices and properties that are gone are removed. A file that is damaged is replaced, which is said
once: samples then are written again, under their own timestamps. While the disk takes nothing, changes
wait in memory and the exporter's health says so.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.errors import Fatal
from edgelab.twinexporter.samples import Device, Sample

log = logging.getLogger("edgelab.twinexporter")

FILE = "checkpoint.sqlite"
SAVE_SECONDS = 1.0
PRUNE_SECONDS = 3600.0
"""How often properties that devices no longer report are looked for."""
SCHEMA = """
CREATE TABLE IF NOT EXISTS position (
  sink TEXT NOT NULL, namespace TEXT NOT NULL, device TEXT NOT NULL, property TEXT NOT NULL,
  milliseconds INTEGER NOT NULL, PRIMARY KEY (sink, namespace, device, property)
) WITHOUT ROWID
"""
WATCHES = "CREATE TABLE IF NOT EXISTS watch (resource TEXT PRIMARY KEY, version TEXT NOT NULL) WITHOUT ROWID"
WATCHED = "INSERT OR REPLACE INTO watch VALUES (?, ?)"
RESOURCE = "devicestatuses"
COLUMNS = ["sink", "namespace", "device", "property", "milliseconds"]
WRITE = "INSERT OR REPLACE INTO position VALUES (?, ?, ?, ?, ?)"
REMOVE = "DELETE FROM position WHERE sink = ? AND namespace = ? AND device = ? AND property = ?"

Key: TypeAlias = tuple[str, str, str, str]
Live: TypeAlias = Mapping[Device, set[str]]


class Positions:
    """How far one database is: the timestamp of the last sample that it took of each property."""

    def __init__(self) -> None:
        self.at: dict[Device, dict[str, int]] = {}
        self.changed: dict[tuple[Device, str], int | None] = {}
        """What is not in the file yet; None for what is to be removed."""

    def has(self, sample: Sample, *, past: bool = False) -> bool:
        """Whether this is the last sample that the database took; with `past`, that or an earlier one.

        Compared for equality: the API keeps one report a property, so another timestamp is a later
        report, even when the node's clock was set back in between. Only of reports that an earlier run
        may have seen (`past`) the timestamp has to say whether they are new.
        """
        last = self.at.get(sample.device, {}).get(sample.name)
        return last is not None and (sample.milliseconds <= last if past else sample.milliseconds == last)

    def advance(self, samples: Iterable[Sample]) -> None:
        """The database has these, in this order."""
        for sample in samples:
            self.at.setdefault(sample.device, {})[sample.name] = sample.milliseconds
            self.changed[sample.device, sample.name] = sample.milliseconds

    def forget(self, device: Device) -> None:
        """A device is gone; one of its name that comes later starts anew."""
        for name in self.at.pop(device, {}):
            self.changed[device, name] = None

    def prune(self, live: Live) -> None:
        """Keep only what is in `live`."""
        for device in [device for device in self.at if device not in live]:
            self.forget(device)
        for device, names in self.at.items():
            for name in [name for name in names if name not in live[device]]:
                del names[name]
                self.changed[device, name] = None

    def __len__(self) -> int:
        return sum(map(len, self.at.values()))


class Checkpoint:
    """A module: the positions of all databases, and their file. Without a directory nothing is kept."""

    name = "checkpoint"

    def __init__(self, directory: Path | None, live: Callable[[], Live], clock: Clock = SYSTEM) -> None:
        """Open or make the file. Raises Fatal when the directory cannot be written to."""
        self.trouble = ""
        """Why the last save failed; empty when it did not."""
        self._live = live
        self._clock = clock
        self._sinks: dict[str, Positions] = {}
        self._settled = False
        self._progress: Callable[[], str] = str
        self._watched = ""
        """The version of the watch that is in the file."""
        self._unsaved: dict[Key, int | None] = {}
        self._lock = threading.Lock()
        """Held by the thread that saves; `close` waits for one that a cancellation left behind."""
        self._file = _open(directory / FILE) if directory is not None else None

    def positions(self, sink: str) -> Positions:
        """How far the database of that name is."""
        if sink not in self._sinks:
            positions = self._sinks[sink] = Positions()
            if self._file is not None:
                rows = "SELECT namespace, device, property, milliseconds FROM position WHERE sink = ?"
                for namespace, device, name, at in self._file.execute(rows, (sink,)):
                    positions.at.setdefault((namespace, device), {})[name] = at
        return self._sinks[sink]

    def watched(self, progress: Callable[[], str]) -> str:
        """Where the watch of an earlier run stood, or nothing; from now on save what `progress` says."""
        self._progress = progress
        if self._file is not None:
            for (version,) in self._file.execute("SELECT version FROM watch WHERE resource = ?", (RESOURCE,)):
                self._watched = version
        return self._watched

    def settle(self) -> None:
        """Once all devices are known: forget what was deleted meanwhile, and databases no longer used."""
        self._settled = True
        self._prune()
        if self._file is not None:
            with self._lock:
                for key in self._file.execute("SELECT sink, namespace, device, property FROM position"):
                    if key[0] not in self._sinks:
                        self._unsaved[key] = None

    async def run(self) -> None:
        """Save once a second what has changed, until cancelled."""
        pruned = self._clock.monotonic()
        while True:
            await self._clock.sleep(SAVE_SECONDS)
            if self._settled and self._clock.monotonic() - pruned > PRUNE_SECONDS:
                pruned = self._clock.monotonic()
                self._prune()
            changes, version = self._changes(), self._progress()
            if changes or self._unsaved or version not in ("", self._watched):
                await asyncio.to_thread(self._store, changes, version)

    def close(self) -> None:
        """Save what is left and close the file."""
        self._store(self._changes(), self._progress())
        if self._file is not None:
            self._file.close()

    def _prune(self) -> None:
        live = self._live()
        for positions in self._sinks.values():
            positions.prune(live)

    def _changes(self) -> dict[Key, int | None]:
        found: dict[Key, int | None] = {}
        for sink, positions in self._sinks.items():
            for (device, name), at in positions.changed.items():
                found[sink, *device, name] = at
            positions.changed = {}
        return found

    def _store(self, changes: dict[Key, int | None], version: str = "") -> None:
        """Runs in a thread. What could not be stored is tried again with the next changes."""
        if self._file is None:
            return
        with self._lock:
            changes = {**self._unsaved, **changes}
            try:
                with self._file:
                    self._file.executemany(REMOVE, [key for key, at in changes.items() if at is None])
                    rows = [(*key, at) for key, at in changes.items() if at is not None]
                    self._file.executemany(WRITE, rows)
                    if version:
                        self._file.execute(WATCHED, (RESOURCE, version))
            except sqlite3.Error as error:
                if not self.trouble:
                    log.warning("the checkpoint cannot be written: %s", error)
                self.trouble, self._unsaved = str(error), changes
            else:
                self.trouble, self._unsaved = "", {}
                self._watched = version or self._watched


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            log.info("no checkpoint in %s yet: all that devices report now is written", path)
            return _connect(path)
        try:
            return _connect(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise
            log.warning("the checkpoint %s is damaged (%s) and begins anew", path, error)
            for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
                file.unlink(missing_ok=True)
            return _connect(path)
    except (OSError, sqlite3.OperationalError) as error:
        raise Fatal(f"--state-dir {path.parent} cannot be used: {error}") from None


def _connect(path: Path) -> sqlite3.Connection:
    """An open file with its table. Raises sqlite3.DatabaseError when it is damaged."""
    file = sqlite3.connect(path, check_same_thread=False)
    try:
        file.execute("PRAGMA journal_mode = WAL")
        file.execute("PRAGMA synchronous = FULL")
        file.execute(SCHEMA)
        file.execute(WATCHES)
        [(found,)] = file.execute("PRAGMA quick_check(1)")
        columns = [name for _, name, *_ in file.execute("PRAGMA table_info(position)")]
        if found != "ok" or columns != COLUMNS:
            raise sqlite3.DatabaseError(found if found != "ok" else f"its columns are {columns}")
    except BaseException:
        file.close()
        raise
    return file
