"""The data directory: `state.db` with its log, `tls/`, `lock`. One process at a time owns it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgelab.daemon.errors import Fatal
from edgelab.edgesite.store.disk import sync_directory

DATABASE, KEYS = "state.db", "tls"
SIDES = ("state.db-wal", "state.db-shm")
SNAPSHOT = ".snapshot-"
STAGE, READY, REPLACED = ".restore", "ready", "replaced"


def lock(directory: Path) -> int:
    """Own the directory, which is made when it is missing; close the descriptor to let go. Raises Fatal."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Fatal(f"cannot use the data directory {directory}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise Fatal(
            f"the data directory {directory} is in use by another edgesite; stop that one first"
        ) from error
    return descriptor


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """`lock` for the length of a block."""
    descriptor = lock(directory)
    try:
        yield
    finally:
        os.close(descriptor)


def occupied(directory: Path) -> list[str]:
    """What a restore would replace."""
    return [name for name in (DATABASE, KEYS) if (directory / name).exists()]


def stage(directory: Path) -> Path:
    """An empty place for what is to be put in, on the same file system."""
    staged = directory / STAGE
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(mode=0o700)
    return staged


def put_in(directory: Path, aside: str = REPLACED) -> Path | None:
    """Replace the state by what is staged, all of it even if the power fails now; gives the directory
    where the old state is, if there was one: `aside`, whose content goes.
    """
    staged = directory / STAGE
    shutil.rmtree(directory / aside, ignore_errors=True)
    (staged / "aside").write_text(aside)
    for path in (*staged.rglob("*"), staged):
        _sync(path)
    (staged / READY).touch(mode=0o600)
    sync_directory(staged)
    sync_directory(directory)
    return finish(directory)


def finish(directory: Path) -> Path | None:
    """Go on with a replacement that was interrupted, and remove snapshots that were; whoever owns the
    directory does so first.
    """
    for leftover in directory.glob(f"{SNAPSHOT}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    staged = directory / STAGE
    if not (staged / READY).exists():
        return None
    replaced = directory / (staged / "aside").read_text()
    if (staged / DATABASE).exists():
        for name in (*SIDES, DATABASE):
            _move(directory / name, replaced)
        (staged / DATABASE).rename(directory / DATABASE)
    if (staged / KEYS).exists():
        _move(directory / KEYS, replaced)
        (staged / KEYS).rename(directory / KEYS)
    sync_directory(directory)
    shutil.rmtree(staged)
    return replaced if replaced.exists() else None


def put_aside(directory: Path) -> Path:
    """Empty the directory; gives where its state lies now."""
    replaced = directory / REPLACED
    shutil.rmtree(replaced, ignore_errors=True)
    for name in (KEYS, *SIDES, DATABASE):
        _move(directory / name, replaced)
    return replaced


def _move(path: Path, where: Path) -> None:
    if path.exists():
        where.mkdir(mode=0o700, exist_ok=True)
        path.rename(where / path.name)


def _sync(path: Path) -> None:
    if path.is_dir():
        sync_directory(path)
        return
    with path.open("rb") as file:
        os.fsync(file.fileno())
