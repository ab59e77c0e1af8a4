"""The log of revisions in SQLite. Everything here runs on the store's one writer thread.

One row a revision; the present state is the newest row of each key that is no deletion. Write-ahead
logging with `synchronous=FULL`: when `commit` returns, the batch survives kill -9 and a power cut.
Rows carry a checksum: one that does not fit is reported (`Damaged`) and never handed out.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from edgelab.daemon.errors import Fatal
from edgelab.edgesite.store import schema
from edgelab.edgesite.store.entries import Entry, Event, Key
from edgelab.edgesite.store.errors import Compacted, Damaged
from edgelab.edgesite.store.rows import COLUMNS, PLAIN, Row, Transform, columns, read

SPARE_BYTES = 1 << 20
AT_ONCE = 32
"""Rows that one statement inserts: each statement gives the interpreter's lock away and has to win it back
from a busy event loop, which costs both of them more than a row does."""
INSERTS = {
    rows: f"INSERT INTO log ({COLUMNS}) VALUES {', '.join(['(?, ?, ?, ?, ?, ?, ?, ?)'] * rows)}"  # noqa: S608
    for rows in range(1, AT_ONCE + 1)
}
"""The statements, by the number of their rows."""
STATE_AT = f"""
SELECT {COLUMNS} FROM log
WHERE revision IN
  (SELECT max(revision) FROM log WHERE revision <= ? AND bucket = ? GROUP BY bucket, namespace, name)
AND deleted = 0 ORDER BY bucket, namespace, name
"""  # noqa: S608 - names of columns


class Disk:
    """The database file. Raises Fatal when it cannot be opened, sqlite3.Error when it fails later."""

    def __init__(self, path: Path, transform: Transform = PLAIN) -> None:
        self.path = path
        self._transform = transform
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            path.chmod(0o600)
            schema.prepare(self._connection, path)
            sync_directory(path.parent)
        except OSError as error:
            raise Fatal(f"cannot use the data directory {path.parent}: {error}") from error
        except sqlite3.Error as error:
            raise schema.unusable(path, error) from error

    def meta(self, name: str, default: int) -> int:
        """A number kept beside the log."""
        row = self._connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return default if row is None else int(row[0])

    def set_meta(self, name: str, value: int) -> None:
        """Keep a number beside the log."""
        self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    @property
    def floor(self) -> int:
        """The oldest revision that can be read."""
        return self.meta("compacted", 0)

    @property
    def revision(self) -> int:
        """The newest revision."""
        (newest,) = self._connection.execute("SELECT max(revision) FROM log").fetchone()
        return max(int(newest or 0), self.floor)

    def load(self) -> Iterator[Entry]:
        """The present state. Reads and checks the whole log, in its own order: an index cannot hide
        anything. Raises Fatal for a row that is damaged.
        """
        newest: dict[Key, Entry] = {}
        try:
            for found in self._connection.execute(f"SELECT {COLUMNS} FROM log ORDER BY revision"):  # noqa: S608
                row = self._checked(found)
                if row.deleted:
                    newest.pop(row.key, None)
                else:
                    newest[row.key] = Entry(row.key, row.revision, row.value)
            while newest:
                key, entry = newest.popitem()
                entry.data = self._transform.from_disk(key, entry.data)
                yield entry
        except sqlite3.Error as error:
            raise schema.unusable(self.path, error) from error

    def state_at(self, revision: int, bucket: str) -> Iterator[Entry]:
        """The objects of a resource as they were at a revision. Raises Compacted."""
        if revision < self.floor:
            raise Compacted
        for found in self._connection.execute(STATE_AT, (revision, bucket)):
            yield self._entry(self._checked(found))

    def _checked(self, found: Sequence[Any]) -> Row:
        row, sound = read(found)
        if not sound:
            raise Damaged(f"revision {row.revision} of {'/'.join(row.key)}: wrong checksum")
        return row

    def _entry(self, row: Row) -> Entry:
        return Entry(row.key, row.revision, self._transform.from_disk(row.key, row.value))

    def commit(self, rows: Sequence[Row]) -> None:
        """Write a batch; it is durable when this returns, or absent when it raises."""
        stored = [row._replace(value=self._transform.to_disk(row.key, row.value)) for row in rows]
        self.append(stored)

    def append(self, rows: Sequence[Row]) -> None:
        """`commit` for rows whose values are bytes of a disk already."""
        if 0 < len(rows) <= AT_ONCE:
            self._insert(rows)  # one statement is a transaction of its own
            return
        with self._transaction():
            for start in range(0, len(rows), AT_ONCE):
                self._insert(rows[start : start + AT_ONCE])

    def _insert(self, rows: Sequence[Row]) -> None:
        self._connection.execute(INSERTS[len(rows)], list(chain.from_iterable(map(columns, rows))))

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

    def probe(self) -> None:
        """Write something that changes nothing, through to the disk. Raises sqlite3.Error, also when so
        little room is left that only something so small could be written.
        """
        if shutil.disk_usage(self.path.parent).free < SPARE_BYTES:
            raise sqlite3.OperationalError("database or disk is full")
        self.set_meta("probe", self.meta("probe", 0) + 1)

    def events(self, bucket: str, after: int, until: int) -> list[Event]:
        """The changes of one resource in (after, until]. Raises Compacted."""
        if after < self.floor:
            raise Compacted
        where = "bucket = ? AND revision > ? AND revision <= ? ORDER BY revision"
        query = f"SELECT {COLUMNS} FROM log WHERE {where}"  # noqa: S608 - names of columns
        changes = self._connection.execute(query, (bucket, after, until))
        events = []
        for found in changes:
            row = self._checked(found)
            events.append(Event(self._entry(row), self._version(row.previous), deleted=row.deleted))
        return events

    def _version(self, revision: int) -> Entry | None:
        query = f"SELECT {COLUMNS} FROM log WHERE revision = ?"  # noqa: S608 - names of columns
        found = self._connection.execute(query, (revision,)).fetchone() if revision else None
        return None if found is None else self._entry(self._checked(found))

    def compact(self, revision: int, limit: int) -> int:
        """Forget states before `revision`, looking at no more than `limit` changes; gives the number it
        looked at: fewer than `limit` when it is done. From the first call on `revision` is the oldest
        that can be read.

        A version is superfluous once the change that followed it is in the past of `revision`, and a
        deletion once it is itself.
        """
        with self._transaction():
            revision = max(revision, self.floor)
            swept = self.meta("swept", 0)
            self.set_meta("compacted", revision)
            (until, count) = self._connection.execute(
                "SELECT max(revision), count(*) FROM"
                " (SELECT revision FROM log WHERE revision > ? AND revision <= ? ORDER BY revision LIMIT ?)",
                (swept, revision, limit),
            ).fetchone()
            if count:
                self._forget(swept, until)
                self.set_meta("swept", until)
        return int(count)

    def shrink(self, pages: int) -> bool:
        """Give free pages back to the file system, at most so many; whether there was a lot of them. The
        rest stays: it is written anew soon.
        """
        size, free = self.sizes()
        much = free > max(size // 4, SPARE_BYTES)
        if much:
            self._connection.execute(f"PRAGMA incremental_vacuum({int(pages)})").fetchall()
        return much

    def _forget(self, after: int, until: int) -> None:
        run = self._connection.execute
        run(
            "DELETE FROM log WHERE revision IN"
            " (SELECT previous FROM log WHERE revision > ?1 AND revision <= ?2 AND previous > 0)",
            (after, until),
        )
        run("DELETE FROM log WHERE revision > ? AND revision <= ? AND deleted = 1", (after, until))

    def sizes(self) -> tuple[int, int]:
        """Bytes of the file, and of them in pages that hold nothing."""
        pages, free, size = (
            int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        return pages * size, free * size

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def sync_directory(path: Path) -> None:
    """Make the names of new files as durable as what is in them."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
