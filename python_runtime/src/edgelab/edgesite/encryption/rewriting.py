"""`edgesite encryption`: what is encrypted by what, and everything anew by the present configuration.

Works on the data directory of a site that is not running: every version that the log keeps is rewritten,
and the file is put together anew, so that nothing of what was there before is left in its free pages.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

from edgelab.daemon.errors import Fatal
from edgelab.edgesite.encryption.guard import described
from edgelab.edgesite.encryption.transform import AtRest
from edgelab.edgesite.operation import datadir
from edgelab.edgesite.store import schema
from edgelab.edgesite.store.errors import Damaged
from edgelab.edgesite.store.rows import COLUMNS, Row, checksum, read

PAGE = 200


def status(directory: Path, bucket: str = "secrets") -> dict[str, int]:
    """How many kept versions of a resource are encrypted by what. Raises Fatal."""
    path = _database(directory)
    found: Counter[str] = Counter()
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        for (value,) in connection.execute("SELECT value FROM log WHERE bucket = ?", (bucket,)):
            found[described(value)] += 1
        connection.close()
    except sqlite3.Error as error:
        raise schema.unusable(path, error) from error
    return dict(sorted(found.items()))


def insist_on_readable(directory: Path, transform: AtRest) -> None:
    """Read every version of a site, which may be running or not be there yet. Raises Fatal for one that is
    encrypted by something else.
    """
    path = directory / datadir.DATABASE
    if not path.exists():
        return
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            for found in connection.execute(f"SELECT {COLUMNS} FROM log"):  # noqa: S608 - names of columns
                row, _ = read(found)
                transform.from_disk(row.key, row.value)
    except sqlite3.Error as error:
        raise schema.unusable(path, error) from error


def rewrite(directory: Path, transform: AtRest) -> tuple[int, int]:
    """Write anew what is not as it would be written today; gives (rewritten, looked at). Raises Fatal."""
    path = _database(directory)
    with datadir.locked(directory):
        datadir.finish(directory)
        try:
            connection = sqlite3.connect(path, isolation_level=None)
            try:
                schema.prepare(connection, path)
                done = _rewrite(connection, transform)
                _forget(connection)
            finally:
                connection.close()
        except sqlite3.Error as error:
            raise schema.unusable(path, error) from error
    return done


def _database(directory: Path) -> Path:
    path = directory / datadir.DATABASE
    if not path.exists():
        raise Fatal(f"{directory} holds no site; name its directory by --data-dir")
    return path


def _rewrite(connection: sqlite3.Connection, transform: AtRest) -> tuple[int, int]:
    """In one transaction: a site is encrypted by the old keys or by the new ones, never by a part of each."""
    rewritten = looked_at = last = 0
    connection.execute("BEGIN IMMEDIATE")
    query = f"SELECT {COLUMNS} FROM log WHERE revision > ? ORDER BY revision LIMIT ?"  # noqa: S608 - names of columns
    while rows := connection.execute(query, (last, PAGE)).fetchall():
        for found in rows:
            row, sound = read(found)
            if not sound:
                raise Damaged(f"revision {row.revision} of {'/'.join(row.key)}: wrong checksum")
            last, looked_at = row.revision, looked_at + 1
            if not transform.is_current(row.key, row.value):
                _replace(connection, row, transform)
                rewritten += 1
    if rewritten:  # a follower has the old rows: it shall take all of them anew
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('history', ?)", (schema.new_history(),))
    connection.execute("COMMIT")
    return rewritten, looked_at


def _replace(connection: sqlite3.Connection, row: Row, transform: AtRest) -> None:
    value = transform.to_disk(row.key, transform.from_disk(row.key, row.value))
    new = row._replace(value=value)
    connection.execute(
        "UPDATE log SET value = ?, crc = ? WHERE revision = ?", (value, checksum(new), row.revision)
    )


def _forget(connection: sqlite3.Connection) -> None:
    """Leave no old bytes in free pages and in the log beside the file."""
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
