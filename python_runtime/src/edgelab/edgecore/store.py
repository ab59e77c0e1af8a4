"""The node's SQLite file: KubeEdge's tables, one writing thread, commits in groups.

Whoever writes gets a future that is done when the transaction is committed: on the disk for
`durable` jobs (`synchronous=FULL`), in the operating system's hands otherwise (survives the end of
the process, not of the power). All jobs that wait at the same time share one transaction, and futures
are resolved in the order of submission. Reading happens on the event loop's thread, over a second
connection, and sees what is committed.

A damaged file is replaced by its last good copy at the start (`rescue`). When the disk takes no more,
jobs fail and everything else goes on; that is told once, and once more when there is room again.

Tables: KubeEdge `edge/pkg/metamanager/dao/models`. A file written by the original can be used.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelab.daemon.errors import Fatal
from edgelab.edgecore import rescue
from edgelab.edgecore.rescue import Rescue

log = logging.getLogger(__name__)

META_TABLES = ("CREATE TABLE IF NOT EXISTS meta (key text PRIMARY KEY, type text, value text)",)
MIRROR_TABLES = (
    "CREATE TABLE IF NOT EXISTS meta_v2 (key text PRIMARY KEY, group_version_resource text, namespace text,"
    " name text, resource_version integer, value text)",
)
TWIN_TABLES = (
    "CREATE TABLE IF NOT EXISTS device"
    " (id text PRIMARY KEY, name text, description text, state text, last_online text)",
    "CREATE TABLE IF NOT EXISTS device_attr (id integer PRIMARY KEY AUTOINCREMENT, deviceid text, name text,"
    " description text, value text, optional numeric, attr_type text, metadata text)",
    "CREATE TABLE IF NOT EXISTS device_twin (id integer PRIMARY KEY AUTOINCREMENT, deviceid text, name text,"
    " description text, expected text, actual text, expected_meta text, actual_meta text,"
    " expected_version text, actual_version text, optional numeric, attr_type text, metadata text)",
    "CREATE INDEX IF NOT EXISTS edgelab_device_twin ON device_twin (deviceid, name)",
    "CREATE TABLE IF NOT EXISTS edgelab_spool"
    " (id integer PRIMARY KEY AUTOINCREMENT, deviceid text, report text)",
    "CREATE INDEX IF NOT EXISTS edgelab_spool_device ON edgelab_spool (deviceid, id)",
)
BUS_TABLES = ("CREATE TABLE IF NOT EXISTS sub_topics (topic text PRIMARY KEY)",)

SERVICE_TABLES = ("CREATE TABLE IF NOT EXISTS target_urls (url text PRIMARY KEY)",)

Statement = tuple[str, Sequence[Any]]
"""SQL with its parameters."""

_PROBE_KEY = "edgelab/store/probe"
_PROBE: tuple[Statement, ...] = (
    (
        "INSERT OR REPLACE INTO meta (key, type, value) VALUES (?, 'probe', hex(zeroblob(32768)))",
        (_PROBE_KEY,),
    ),
    ("DELETE FROM meta WHERE key = ?", (_PROBE_KEY,)),
)
"""Takes as much room as a large object; nothing of it stays."""

_BATCH = 256
_CACHE_KIB = 256


@dataclass(slots=True)
class _Job:
    statements: Sequence[Statement]
    durable: bool
    done: asyncio.Future[None]
    probe: bool = False
    error: sqlite3.Error | None = None


class Store:
    """The database. Use as an async context manager; `submit` and `read` only inside."""

    def __init__(self, path: Path, tables: Iterable[str]) -> None:
        self.path = path
        self._tables = tuple(tables)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._listeners: list[Callable[[], None]] = []
        self.rescue: Rescue | None = None
        self.problem = ""
        self.damaged = False
        self.commits = 0

    async def __aenter__(self) -> Store:
        """Open or create the file, restored if it is damaged. Raises Fatal when it cannot be written."""
        self._loop = asyncio.get_running_loop()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            self._open()
        except (OSError, sqlite3.Error) as error:
            raise Fatal(
                f"database {self.path} cannot be used: {error}; "
                "check its owner, its file system, and that no other edgecore runs on it"
            ) from error
        self._thread = threading.Thread(target=self._work, name="store", daemon=True)
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Finish what was submitted, then close."""
        self._jobs.put(None)
        self._thread.join()  # the last commit: milliseconds
        self._reader.close()
        self._writer.close()

    def condition(self) -> tuple[str, str]:
        """Reason and sentence of what is or was wrong, for the Node; two empty texts when nothing is."""
        if self.problem:
            return "NotWritable", self.problem
        if self.rescue is not None:
            return self.rescue.reason, self.rescue.text
        return "", ""

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener()` on the event loop each time `problem` changes."""
        self._listeners.append(listener)

    def submit(self, statements: Sequence[Statement], *, durable: bool = True) -> asyncio.Future[None]:
        """Queue one job, all of whose statements are committed or none.

        The future's exception is `sqlite3.Error`. The queue has no bound of its own: each caller
        bounds what it has under way.
        """
        job = _Job(statements, durable, self._loop.create_future())
        self._jobs.put(job)
        return job.done

    async def probe(self) -> None:
        """Try whether the disk takes something again; only this ends a `problem`: it shall not flap."""
        job = _Job(_PROBE, True, self._loop.create_future(), probe=True)
        self._jobs.put(job)
        with contextlib.suppress(sqlite3.Error):
            await job.done

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Committed rows. Raises Fatal when the file is found damaged: the next start repairs it."""
        try:
            return self._reader.execute(sql, parameters).fetchall()
        except sqlite3.DatabaseError as error:
            if not rescue.is_damage(error):
                raise
            raise Fatal(f"database {self.path} is damaged ({error}); the next start repairs it") from error

    def _open(self) -> None:
        for attempt in (1, 2):
            try:
                self.rescue = self.rescue or rescue.repair(self.path)
                if self.rescue is not None:
                    log.error("%s", self.rescue.text)
                _keep_private(self.path)
                self._writer = self._connect()
                self._reader = self._connect()
            except sqlite3.Error as error:
                # A full disk has no room for SQLite's own files either.
                room = rescue.is_want_of_room(error) and rescue.give_up_reserve(self.path)
                if attempt == 2 or not room:
                    raise
            else:
                return

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=5, check_same_thread=False)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
            connection.execute("BEGIN IMMEDIATE")
            for table in self._tables:
                connection.execute(table)
            connection.execute("COMMIT")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _work(self) -> None:
        full = True
        while (first := self._jobs.get()) is not None:
            batch, end = [first], False
            while len(batch) < _BATCH and not end:
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if job is None:
                    end = True
                else:
                    batch.append(job)
            durable = any(job.durable for job in batch)
            if durable != full:
                self._writer.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                full = durable
            self._commit(batch)
            self._weigh(batch)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(_resolve, batch)
            if end:
                return

    def _commit(self, batch: list[_Job]) -> None:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for job in batch:
                for sql, parameters in job.statements:
                    self._writer.execute(sql, parameters)
            self._writer.execute("COMMIT")
        except sqlite3.Error as error:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            if len(batch) == 1:
                batch[0].error = error
                return
            for job in batch:  # one bad job must not fail its neighbours
                self._commit([job])

    def _weigh(self, batch: list[_Job]) -> None:
        """Note whether the disk still takes what is written: a mistake in one job says nothing of that."""
        found = (job.error for job in batch if job.error is not None)
        error = next((e for e in found if rescue.is_damage(e) or rescue.is_want_of_room(e)), None)
        if error is not None:
            self.damaged = self.damaged or rescue.is_damage(error)
            self._pass_on(f"not everything can be stored in {self.path}: {error}")
            return
        self.commits += any(job.error is None for job in batch)
        if any(job.probe and job.error is None for job in batch):
            self._pass_on("")

    def _pass_on(self, problem: str) -> None:
        if problem != self.problem:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._set_problem, problem)

    def _set_problem(self, problem: str) -> None:
        if problem == self.problem:
            return
        if problem:
            log.error("%s; what runs goes on, and the cloud sends again what could not be stored", problem)
        else:
            log.warning("%s can be written again", self.path)
        self.problem = problem
        for listener in self._listeners:
            listener()


def _keep_private(path: Path) -> None:
    """Let nobody else read the file: Secrets and tokens are in it. SQLite's own files take its mode."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        with contextlib.suppress(FileNotFoundError):
            if file.stat().st_mode & 0o077:
                file.chmod(0o600)


def _resolve(batch: list[_Job]) -> None:
    for job in batch:
        if job.done.cancelled():
            continue
        if job.error is None:
            job.done.set_result(None)
        else:
            job.done.set_exception(job.error)
