"""SQLite files in a backup: copies of a live one, and what tells two of them apart."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import sqlite3

SIDE_FILES = ("-wal", "-shm", "-journal")


class DatabaseError(Exception):
    """A database cannot be copied or is damaged; the message names the file."""


def opened(path):
    """A connection to an existing database, closed at the end of the block. Raises DatabaseError."""
    if not os.path.exists(path):
        raise DatabaseError(f"database {path} does not exist")
    try:
        # Not read-only: a write-ahead log that a killed daemon left can only be read by who may write it.
        return contextlib.closing(sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=30))
    except sqlite3.Error as error:
        raise DatabaseError(f"database {path}: {error}") from None


def copy(source, target):
    """Copy a database while others write to it (SQLite's online backup), as one file without a log."""
    try:
        with opened(source) as live, contextlib.closing(sqlite3.connect(target)) as held:
            live.backup(held)
            held.execute("PRAGMA journal_mode = DELETE").fetchall()
    except sqlite3.Error as error:
        raise DatabaseError(f"database {source}: {error}") from None
    os.chmod(target, 0o600)


def check(path, name):
    """Raise DatabaseError unless the file is a sound database; `name` is what people know it by."""
    try:
        with opened(path) as connection:
            found = connection.execute("PRAGMA integrity_check(3)").fetchall()
    except sqlite3.Error as error:
        raise DatabaseError(f"database {name}: {error}") from None
    if found != [("ok",)]:
        raise DatabaseError("database {}: {}".format(name, "; ".join(str(row[0]) for row in found)))


def digests(path):
    """Hashes of what the database holds and of its tables' form; pages and free space do not count."""
    content = hashlib.sha256()
    schema = hashlib.sha256()
    try:
        with opened(path) as connection:
            for line in connection.iterdump():
                content.update(line.encode() + b"\n")
            tables = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY type, name")
            version = connection.execute("PRAGMA user_version").fetchone()
            for row in [*tables.fetchall(), version]:
                schema.update(repr(row).encode())
    except sqlite3.Error as error:
        raise DatabaseError(f"database {path}: {error}") from None
    return {"content": content.hexdigest(), "schema": schema.hexdigest()}


def users(path):
    """Ids of the processes that have the database open."""
    real = os.path.realpath(path)
    names = {real, *(real + suffix for suffix in SIDE_FILES)}
    found = set()
    for handle in glob.glob("/proc/[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if os.readlink(handle) in names:
                found.add(int(handle.split("/")[2]))
    return sorted(found - {os.getpid()})
