"""Files of a volume that change all at once (kubelet `volume/util/atomic_writer.go`).

    ..2026_11_21_10_00_00.abcd/key    the content
    ..data -> ..2026_11_21_10_00_00.abcd
    key -> ..data/key                 what a container opens

Renaming `..data` swaps everything in one step, so a reader never sees half of an update.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import NamedTuple


class File(NamedTuple):
    """Content and mode of one file, and the user that it belongs to if not root."""

    content: bytes
    mode: int
    user: int | None = None


READABLE, ENTERABLE = 0o440, 0o2550
"""What the group of the pod gets on files and directories (kubelet `volume_linux.go`)."""


def write(directory: Path, files: dict[str, File], *, group: int | None = None) -> bool:
    """Make `directory` hold exactly `files` (relative path -> File); gives whether anything changed."""
    for path in files:
        if path.startswith("/") or ".." in Path(path).parts or path.startswith(".."):
            raise ValueError(f"a file of a volume must lie inside it: {path!r}")
    directory.mkdir(parents=True, exist_ok=True)
    current = directory / "..data"
    names = {path.split("/")[0] for path in files}
    if _same(current, files):
        _link_names(directory, names)  # a power cut may have come between the content and its names
        return False
    fresh = Path(tempfile.mkdtemp(prefix="..", dir=directory))
    fresh.chmod(0o755)
    for path, file in files.items():
        _put(fresh / path, file, group)
    if group is not None:
        for place in (directory, fresh, *(path for path in fresh.rglob("*") if path.is_dir())):
            os.chown(place, -1, group)
            place.chmod(stat.S_IMODE(place.stat().st_mode) | ENTERABLE)
    old = directory / os.readlink(current) if current.is_symlink() else None
    swap = directory / "..data_tmp"
    swap.unlink(missing_ok=True)
    swap.symlink_to(fresh.name)
    swap.rename(current)
    _link_names(directory, names)
    if old is not None and old != fresh:
        shutil.rmtree(old, ignore_errors=True)
    return True


def _put(path: Path, file: File, group: int | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        target.write(file.content)
    os.chown(path, -1 if file.user is None else file.user, -1 if group is None else group)
    path.chmod(file.mode | (READABLE if group is not None else 0))


def _same(current: Path, files: dict[str, File]) -> bool:
    if not current.is_dir():
        return False
    found = {str(path.relative_to(current)): path for path in current.rglob("*") if path.is_file()}
    if found.keys() != files.keys():
        return False
    return all(found[path].read_bytes() == file.content for path, file in files.items())


def _link_names(directory: Path, names: set[str]) -> None:
    for name in names:
        link = directory / name
        if not link.is_symlink():
            link.symlink_to(f"..data/{name}")
    for entry in directory.iterdir():
        if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in names:
            entry.unlink()
