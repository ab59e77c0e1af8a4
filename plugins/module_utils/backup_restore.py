"""Putting files of a backup back: what differs, and all of it or nothing."""

from __future__ import annotations

import contextlib
import os
import shutil

from ansible_collections.edgelab.kubeedge.plugins.module_utils import backup_sqlite as databases
from ansible_collections.edgelab.kubeedge.plugins.module_utils.backup_archive import (
    BackupError,
    entry_of,
    need_space,
    sha256,
)

FRESH, BEFORE = ".edgelab-restored", ".edgelab-before"


def differs(entry, schema_only):
    """Whether the host's file is another one than the archive's."""
    path = entry["path"]
    if not os.path.lexists(path):
        return True
    now = entry_of(path, "database" if entry["kind"] == "database" else None)
    if any(now[key] != entry[key] for key in ("kind", "mode", "uid", "gid")) and not (
        schema_only and entry["kind"] == "database"
    ):
        return True
    if entry["kind"] == "file":
        return sha256(path) != entry["sha256"]
    if entry["kind"] == "link":
        return now["target"] != entry["target"]
    if entry["kind"] == "database":
        return database_differs(entry, schema_only)
    return False


def database_differs(entry, schema_only):
    """Whether the host's database holds something else, or has tables of another form; a damaged one does."""
    what = "schema" if schema_only else "content"
    try:
        databases.check(entry["path"], entry["path"])
        return databases.digests(entry["path"])[what] != entry[what]
    except databases.DatabaseError:
        return True


def refuse_open_databases(entries):
    """Raise BackupError when a daemon has a database open that is to be replaced."""
    for entry in entries:
        if entry["kind"] == "database":
            using = databases.users(entry["path"])
            if using:
                raise BackupError(
                    "database {} is in use by process {}: stop its daemon first".format(
                        entry["path"], ", ".join(map(str, using))
                    )
                )


def replace(entries, where):
    """Put all entries in their places; when one cannot be, those done so far are taken back."""
    for entry in entries:
        need_space(os.path.dirname(entry["path"]), entry.get("size", 0))
    for entry in entries:
        stage(entry, where)
    done = []
    try:
        for entry in entries:
            swap(entry, done)
    except OSError:
        for path, held in reversed(done):
            take_back(path, held)
        raise
    finally:
        for entry in entries:
            forget(entry["path"] + FRESH)
    for _path, held in done:
        forget(held)


def stage(entry, where):
    """Write the new file beside the old one, on the same file system, with its owner and mode."""
    path = entry["path"]
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    if entry["kind"] == "directory":
        return
    fresh = path + FRESH
    forget(fresh)
    if entry["kind"] == "link":
        os.symlink(entry["target"], fresh)
        return
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(handle, "wb") as file, open(where[entry["member"]], "rb") as data:
        shutil.copyfileobj(data, file)
        os.fchown(file.fileno(), entry["uid"], entry["gid"])
        os.fchmod(file.fileno(), entry["mode"])
        file.flush()
        os.fsync(file.fileno())


def swap(entry, done):
    """Move the old file away and the new one to its place, remembering both."""
    path = entry["path"]
    if entry["kind"] == "directory":
        os.makedirs(path, exist_ok=True)
        os.chown(path, entry["uid"], entry["gid"])
        os.chmod(path, entry["mode"])
        return
    # A database's log belongs to the old file and would be replayed into the new one.
    sides = databases.SIDE_FILES if entry["kind"] == "database" else ()
    for old in [path, *(path + side for side in sides)]:
        held = old + BEFORE
        if os.path.lexists(old):
            forget(held)
            os.replace(old, held)
        done.append((old, held))
    os.replace(path + FRESH, path)


def take_back(path, held):
    """Undo one swap."""
    if os.path.lexists(held):
        os.replace(held, path)
    else:
        forget(path)


def forget(path):
    """Delete a file or link if it is there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
