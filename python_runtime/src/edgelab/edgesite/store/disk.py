"""The log of revisions in SQLite. Everything here runs on the store's one writer thread.

One row a revision; the present state is the newest row of each key that is no deletion. Write-ahead
logging with `synchronous=FULL`: when `commit` returns, the batch survives kill -9 and a power cut.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from edgelab.daemon.errors import Fatal
from edgelab.edgesite.store.entries import Entry, Event, Key

SCHEMA_VERSION = 1
SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
  revision  INTEGER PRIMARY KEY,
  bucket    TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name      TEXT NOT NULL,
  deleted   INTEGER NOT NULL,
  previous  INTEGER NOT NULL,
  value     BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS log_by_key ON log (bucket, namespace, name, revision);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
LATEST = """
SELECT bucket, namespace, name, revision, value FROM log
WHERE revision IN (SELECT max(revision) FROM log WHERE revision <= ? {extra} GROUP BY bucket, namespace, name)
AND deleted = 0 ORDER BY bucket, namespace, name
"""


class Compacted(Exception):
    """The revision asked for is no longer kept."""


class Row(NamedTuple):
    """One line of the log."""

    revision: int
    key: Key
    deleted: bool
    previous: int
    value: bytes


class Disk:
    """The database file. Raises Fatal when it cannot be opened, sqlite3.Error when it fails later."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            path.chmod(0o600)
            self._prepare()
        except (OSError, sqlite3.Error) as error:
            raise Fatal(f"cannot use the data directory {path.parent}: {error}") from error

    def _prepare(self) -> None:
        run = self._connection.execute
        run("PRAGMA auto_vacuum=INCREMENTAL")
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=FULL")
        run("PRAGMA cache_size=-2048")
        run("PRAGMA journal_size_limit=16777216")
        self._connection.executescript(SCHEMA)
        version = self.meta("schema", SCHEMA_VERSION)
        if version > SCHEMA_VERSION:
            raise Fatal(f"{self.path} was written by a newer version (layout {version}); update edgesite")
        self.set_meta("schema", SCHEMA_VERSION)

    def meta(self, name: str, default: int) -> int:
        """A number kept beside the log."""
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return default if row is None else int(row[0])

    def set_meta(self, name: str, value: int) -> None:
        """Keep a number beside the log."""
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    @property
    def revision(self) -> int:
        """The newest revision."""
        (newest,) = self._connection.execute("SELECT max(revision) FROM log").fetchone()
        return max(int(newest or 0), self.meta("compacted", 0))

    def load(self) -> Iterator[Entry]:
        """The present state."""
        yield from self.state_at(self.revision, check=False)

    def state_at(self, revision: int, bucket: str | None = None, *, check: bool = True) -> Iterator[Entry]:
        """The state as it was at a revision, of one resource or all. Raises Compacted."""
        if check and revision < self.meta("compacted", 0):
            raise Compacted
        query = LATEST.format(extra="" if bucket is None else "AND bucket = ?")
        arguments = (revision,) if bucket is None else (revision, bucket)
        for found, namespace, name, number, value in self._connection.execute(query, arguments):
            yield Entry(Key(found, namespace, name), number, value)

    def commit(self, rows: Sequence[Row]) -> None:
        """Write a batch; it is durable when this returns, or absent when it raises."""
        with self._transaction():
            self._connection.executemany(
                "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(row.revision, *row.key, row.deleted, row.previous, row.value) for row in rows],
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All or nothing, and none is left open when the disk refuses."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def events(self, bucket: str, after: int, until: int) -> list[Event]:
        """The changes of one resource in (after, until]. Raises Compacted."""
        if after < self.meta("compacted", 0):
            raise Compacted
        rows = self._connection.execute(
            "SELECT l.namespace, l.name, l.revision, l.deleted, l.value, p.revision, p.value FROM log l"
            " LEFT JOIN log p ON p.revision = l.previous"
            " WHERE l.bucket = ? AND l.revision > ? AND l.revision <= ? ORDER BY l.revision",
            (bucket, after, until),
        )
        events = []
        for namespace, name, revision, deleted, value, old_revision, old_value in rows:
            key = Key(bucket, namespace, name)
            previous = None if old_value is None else Entry(key, old_revision, old_value)
            events.append(Event(Entry(key, revision, value), previous, deleted=bool(deleted)))
        return events

    def compact(self, revision: int, limit: int) -> int:
        """Forget states before `revision`, at most `limit` rows; gives the number of rows dropped.

        From the first call on `revision` is the oldest that can be read.
        """
        with self._transaction():
            self.set_meta("compacted", revision)
            cursor = self._connection.execute(
                "DELETE FROM log WHERE revision IN (SELECT revision FROM log WHERE revision <= ?1 AND"
                " (deleted = 1 OR EXISTS (SELECT 1 FROM log n WHERE n.bucket = log.bucket"
                " AND n.namespace = log.namespace AND n.name = log.name"
                " AND n.revision > log.revision AND n.revision <= ?1)) LIMIT ?2)",
                (revision, limit),
            )
        self._connection.execute(f"PRAGMA incremental_vacuum({int(limit)})").fetchall()
        return cursor.rowcount

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
