"""The form of the database file: whose it is, whether it is whole, and how an older one becomes this one.

`user_version` is the version of the form, `application_id` says that it is EdgeSite's. Version 1 knew
neither and kept its number in the table `meta`, where it is still written for its sake.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgelab.daemon.errors import Fatal
from edgelab.edgesite.store.errors import Damaged, is_full
from edgelab.edgesite.store.rows import checksum, read

VERSION = 2
CHECKSUMS = 2
"""The first version whose rows carry one."""
APPLICATION_ID = 0x45644765  # EdGe
FIRST = """
CREATE TABLE log (
  revision  INTEGER PRIMARY KEY,
  bucket    TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name      TEXT NOT NULL,
  deleted   INTEGER NOT NULL,
  previous  INTEGER NOT NULL,
  value     BLOB NOT NULL
);
CREATE INDEX log_by_key ON log (bucket, namespace, name, revision);
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""
RESTORE = "put it aside and restore a backup: edgesite restore FILE --force"


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the file one of this version. Raises Fatal, naming the file and the fix."""
    run = connection.execute
    version = examine(connection, path)
    if not version:  # before the first table, or never; and it would write to a file that may have no room
        run("PRAGMA auto_vacuum=INCREMENTAL")
    run("PRAGMA journal_mode=WAL")
    run("PRAGMA synchronous=FULL")
    run("PRAGMA cache_size=-2048")
    run("PRAGMA temp_store=MEMORY")
    run("PRAGMA journal_size_limit=16777216")
    migrate(connection, version)


def examine(connection: sqlite3.Connection, path: Path) -> int:
    """The version of a sound file, 0 for an empty one. Raises Fatal, or sqlite3.Error for a torn one."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    if not tables and not application and not version:
        return 0
    if application not in (0, APPLICATION_ID) or not {"log", "meta"} <= tables:
        raise Fatal(f"{path} is a database of another program; move it away, or give another --data-dir")
    found = [text for (text,) in connection.execute("PRAGMA quick_check")]
    if found != ["ok"]:
        raise damaged(path, found[0].replace("\n", " "))
    if not version:
        (version,) = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone() or (1,)
    if version > VERSION:
        raise Fatal(
            f"{path} was written by a newer edgesite (layout {version}, this one knows {VERSION}): install"
            " that version again, or restore a backup that this one made"
        )
    return int(version)


def damaged(path: Path, why: object) -> Fatal:
    """The file is no sound database."""
    return Fatal(f"{path} is damaged ({why}); {RESTORE}")


def unusable(path: Path, error: sqlite3.Error) -> Fatal:
    """The file cannot be opened: because of what it is, or because of the disk."""
    torn = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    if isinstance(error, Damaged) or getattr(error, "sqlite_errorcode", 0) & 0xFF in torn:
        return damaged(path, error)
    if is_full(error):
        return Fatal(f"cannot open {path}: the disk of {path.parent} is full; a few MiB of room are enough")
    return Fatal(f"cannot use {path}: {error}")


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring a file of this or an older version (0: an empty one) to VERSION, step by step."""
    for step in range(version, VERSION):
        connection.execute("BEGIN IMMEDIATE")
        try:
            STEPS[step](connection)
            connection.execute(f"PRAGMA user_version={step + 1}")
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('schema', ?)", (step + 1,))
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _create(connection: sqlite3.Connection) -> None:
    for statement in FIRST.split(";"):
        connection.execute(statement)


def _add_checksums(connection: sqlite3.Connection) -> None:
    def crc(*found: Any) -> int:
        return checksum(read((*found, 0))[0])

    connection.create_function("row_checksum", 7, crc, deterministic=True)
    connection.execute("ALTER TABLE log ADD COLUMN crc INTEGER NOT NULL DEFAULT 0")
    connection.execute(
        "UPDATE log SET crc = row_checksum(revision, bucket, namespace, name, deleted, previous, value)"
    )
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('history', ?)", (new_history(),))
    connection.execute(f"PRAGMA application_id={APPLICATION_ID}")


def new_history() -> int:
    """A number that no other history has: a restored site's revisions are not those of the old one."""
    return secrets.randbits(62) | 1


STEPS: dict[int, Callable[[sqlite3.Connection], None]] = {0: _create, 1: _add_checksums}
"""From each version to the next."""
