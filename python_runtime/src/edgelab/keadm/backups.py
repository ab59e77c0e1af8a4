"""Backups that `keadm upgrade` makes and `keadm rollback` takes back: /etc/kubeedge/backup/<version>/.

One directory for each version, 0700, replaced by the next backup of that version.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import tempfile
from dataclasses import dataclass
from pathlib import Path

from edgelab.keadm.report import Failure

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Contents:
    """What belongs to a daemon: files by name in the backup, and its database if it has one."""

    files: dict[str, Path]
    database: Path | None = None


def save(directory: Path, version: str, contents: Contents) -> Path:
    """Back up; what is not there is left out. Gives the directory. Raises Failure for a damaged database."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    target = directory / version
    with tempfile.TemporaryDirectory(dir=directory) as name:
        fresh = Path(name) / "fresh"
        fresh.mkdir(mode=0o700)
        saved = {}
        for member, path in contents.files.items():
            if path.exists():
                shutil.copy2(path, fresh / member)
                saved[member] = str(path)
        if contents.database is not None and contents.database.exists():
            copy_database(contents.database, fresh / "edgecore.db")
            saved["edgecore.db"] = str(contents.database)
        (fresh / MANIFEST).write_text(json.dumps({"version": version, "files": saved}, indent=2), "utf-8")
        if target.exists():
            target.rename(Path(name) / "old")
        fresh.rename(target)
    return target


def restore(backup: Path) -> list[Path]:
    """Put files back; the database only when the newer version changed its tables. Raises Failure."""
    manifest = backup / MANIFEST
    if not manifest.exists():
        raise Failure(f"there is no backup {backup}")
    restored = []
    for member, name in json.loads(manifest.read_text(encoding="utf-8"))["files"].items():
        path = Path(name)
        if member == "edgecore.db" and path.exists() and schema(path) == schema(backup / member):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        for side in ("-wal", "-shm") if member == "edgecore.db" else ():
            path.with_name(path.name + side).unlink(missing_ok=True)
        shutil.copy2(backup / member, path)
        restored.append(path)
    return restored


def copy_database(source: Path, target: Path) -> None:
    """Copy while others write (SQLite's online backup). Raises Failure when it is damaged."""
    try:
        with (
            contextlib.closing(sqlite3.connect(f"file:{source}?mode=rw", uri=True, timeout=30)) as live,
            contextlib.closing(sqlite3.connect(target)) as held,
        ):
            live.backup(held)
            held.execute("PRAGMA journal_mode = DELETE").fetchall()
            sound = held.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        raise Failure(f"the database {source} cannot be backed up: {error}") from None
    if sound != "ok":
        raise Failure(f"the database {source} is damaged ({sound}): nothing was changed")
    target.chmod(0o600)


def schema(database: Path) -> list[tuple[str, ...]]:
    """The form of its tables. Raises Failure."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=rw", uri=True)) as connection:
            return connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY 1, 2").fetchall()
    except sqlite3.Error as error:
        raise Failure(f"{database}: {error}") from None
