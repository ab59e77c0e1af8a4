"""What is done for a store that may be damaged: a check, a copy now and then, and the way back to it.

    edgecore.db             the store
    edgecore.db.copy        the last good copy: whole, checked, of the same schema
    edgecore.db.damaged     what was found damaged last, kept for whoever wants to look

A power cut on an SD card leaves pages that never arrived, or a file cut short. Everything here is blocking
and belongs on a thread, or before the event loop has work.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from edgelab.daemon.clock import rfc3339

COPY, DAMAGED, RESERVE = ".copy", ".damaged", ".reserve"
RESERVE_BYTES = 512 * 1024
"""Held back on the disk, and given up when the store cannot be opened for want of space."""

_COMPANIONS = ("-wal", "-shm")
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_NO_ROOM = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)


@dataclass(frozen=True, slots=True)
class Rescue:
    """What happened at this start. `copied_at` is when the copy was made, None when there was none."""

    damage: str
    copied_at: dt.datetime | None

    @property
    def reason(self) -> str:
        """One word in camel case, for a condition or an event."""
        return "StartedEmpty" if self.copied_at is None else "RestoredFromCopy"

    @property
    def text(self) -> str:
        """One sentence for people: what was lost."""
        if self.copied_at is None:
            lost = "there is no good copy: the store starts empty and the cloud is asked for everything"
        else:
            lost = f"restored from the copy of {rfc3339(self.copied_at)}; what changed later was lost"
        return f"the store was damaged ({self.damage}); {lost}"


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite calls the file itself broken, as opposed to full, locked or out of reach."""
    return _primary(error) in _DAMAGE


def is_want_of_room(error: sqlite3.Error) -> bool:
    """Whether the file system would take no more."""
    return _primary(error) in _NO_ROOM


def repair(path: Path) -> Rescue | None:
    """Put the last good copy in the place of a damaged store; None when the store is sound or not there.

    Raises OSError and sqlite3.Error when it cannot be looked at.
    """
    damage = find_damage(path)
    if not damage:
        return None
    _set_aside(path)
    copy = _beside(path, COPY)
    if not copy.exists() or find_damage(copy):
        return Rescue(damage, None)
    made = dt.datetime.fromtimestamp(copy.stat().st_mtime, dt.UTC)
    fresh = _beside(path, ".restoring")
    shutil.copyfile(copy, fresh)
    fresh.chmod(0o600)
    _settle(fresh, path)
    return Rescue(damage, made)


def find_damage(path: Path) -> str:
    """What is wrong with a database file; empty when nothing is, or when there is no file."""
    if not path.exists():
        return ""
    if path.stat().st_size == 0:
        return "the file is empty" if _beside(path, COPY).exists() else ""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=5)) as connection:
        try:
            found = [str(row[0]) for row in connection.execute("PRAGMA quick_check(1)")]
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            return str(error)
    return "" if found == ["ok"] else "; ".join(found).replace("\n", " ")


def age_of_copy(path: Path, now: dt.datetime) -> float | None:
    """Seconds since the copy was made; None when there is none."""
    try:
        return max(0.0, now.timestamp() - _beside(path, COPY).stat().st_mtime)
    except FileNotFoundError:
        return None


def make_copy(path: Path) -> None:
    """Replace the copy by one of what is committed now. Raises OSError and sqlite3.Error.

    SQLite's online backup: readers and the writer go on. A copy that is not sound does not replace one
    that is.
    """
    fresh = _beside(path, ".copying")
    fresh.unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        with (
            contextlib.closing(sqlite3.connect(path, timeout=5)) as source,
            contextlib.closing(sqlite3.connect(fresh, isolation_level=None)) as target,
        ):
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")  # one file, whole in itself
        if damage := find_damage(fresh):
            raise sqlite3.DatabaseError(f"the copy is not sound: {damage}")
        _settle(fresh, _beside(path, COPY))
    finally:
        fresh.unlink(missing_ok=True)


def hold_reserve(path: Path) -> None:
    """Take some room on the disk while there is some. Failing is no harm."""
    reserve = _beside(path, RESERVE)
    if reserve.exists():
        return
    try:
        descriptor = os.open(reserve, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
        finally:
            os.close(descriptor)
    except OSError:
        reserve.unlink(missing_ok=True)


def give_up_reserve(path: Path) -> bool:
    """Let go of the room held back; False when there was none."""
    reserve = _beside(path, RESERVE)
    held = reserve.exists()
    reserve.unlink(missing_ok=True)
    return held


def _set_aside(path: Path) -> None:
    for suffix in ("", *_COMPANIONS):
        old = Path(f"{path}{suffix}")
        with contextlib.suppress(FileNotFoundError):
            old.replace(f"{path}{DAMAGED}{suffix}")


def _settle(fresh: Path, path: Path) -> None:
    """Give a file its name once its bytes are on the disk."""
    for name in (fresh, path.parent):
        if name is not fresh:
            fresh.replace(path)
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _primary(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
