"""Files that hold secrets or settings: written whole, and private unless said otherwise."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

PRIVATE = 0o600
PUBLIC = 0o644


def write_private(path: Path, text: str) -> None:
    """Replace `path` atomically by a file of mode 0600 that survives a power cut."""
    _write(path, text, PRIVATE)


def write_public(path: Path, text: str) -> None:
    """The same with mode 0644, for units and what else everybody may read."""
    _write(path, text, PUBLIC)


def _write(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def is_private(path: Path) -> bool:
    """Whether nobody but the owner may read `path`."""
    return path.stat().st_mode & 0o777 == PRIVATE
