"""Copies of the database: taken while the server writes, checked, and made the beginning of a new history."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from edgelab.daemon.errors import Fatal
from edgelab.edgesite.store import schema
from edgelab.edgesite.store.rows import COLUMNS, read

BUMP = 1_000_000_000
"""How far resourceVersions jump in a restored site, as `etcdutl snapshot restore --bump-revision` is told
in Kubernetes' documentation: far beyond whatever clients have seen of the history that is lost."""


def copy(source: Path, target: Path) -> int:
    """Copy a database in use to one file, whole and as of one moment; gives its revision. Raises Fatal."""
    if not source.exists():
        raise Fatal(f"there is no {source}; name the site's data directory with --data-dir")
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as one,
            closing(sqlite3.connect(target)) as other,
        ):
            target.chmod(0o600)
            one.backup(other)
            other.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise schema.unusable(source, error) from error
    return check(target)


def check(path: Path) -> int:
    """Read all of a database and compare every checksum; gives its revision. Raises Fatal."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            if schema.examine(connection, path) >= schema.CHECKSUMS:
                for found in connection.execute(f"SELECT {COLUMNS} FROM log"):  # noqa: S608 - names of columns
                    row, sound = read(found)
                    if not sound:
                        raise schema.damaged(path, f"revision {row.revision} of {'/'.join(row.key)}")
            return revision_of(connection)
    except sqlite3.Error as error:
        raise schema.unusable(path, error) from error


def mark_copy(path: Path) -> None:
    """Make it a follower's: no server starts from it before it is promoted. Raises Fatal."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            schema.prepare(connection, path)
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('following', 1)")
    except sqlite3.Error as error:
        raise schema.unusable(path, error) from error


def is_copy(path: Path) -> bool:
    """Whether a database is a follower's; one that holds nothing is not. Raises Fatal."""
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
                return False
            found = connection.execute("SELECT value FROM meta WHERE name = 'following'").fetchone()
            return bool(found and found[0])
    except sqlite3.Error as error:
        raise schema.unusable(path, error) from error


def term_of(path: Path) -> int:
    """How often a site that does not run was promoted or restored; 0 when it is not there, or damaged."""
    try:
        # Immutable: to look at a database that is about to be moved leaves no files beside it.
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as connection:
            return _term(connection)
    except sqlite3.Error:
        return 0


def _term(connection: sqlite3.Connection) -> int:
    found = connection.execute("SELECT value FROM meta WHERE name = 'term'").fetchone()
    return int(found[0]) if found else 0


def begin_anew(path: Path, replaced: int = 0) -> int:
    """Make a copy a history of its own: versions jump ahead, what watchers hold of the old one is 410
    Gone, and followers of the old one start again. Its term is later than its own and the `replaced`
    one. Gives the revision. Raises Fatal.
    """
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            schema.prepare(connection, path)
            revision, term = revision_of(connection) + BUMP, max(_term(connection), replaced) + 1
            connection.execute("BEGIN IMMEDIATE")
            new = {"compacted": revision, "history": schema.new_history(), "following": 0, "term": term}
            connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", new.items())
            connection.execute("COMMIT")
            return revision
    except sqlite3.Error as error:
        raise schema.unusable(path, error) from error


def revision_of(connection: sqlite3.Connection) -> int:
    """The newest revision of a database."""
    (newest,) = connection.execute("SELECT max(revision) FROM log").fetchone()
    floor = connection.execute("SELECT value FROM meta WHERE name = 'compacted'").fetchone()
    return max(int(newest or 0), int(floor[0]) if floor else 0)
