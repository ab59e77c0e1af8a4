"""Certificate files: written whole or not at all, readable by their owner only.

A certificate and its key are two files. Both are first written under `<name>.new`; a crash between
the two renames is finished by `finish_interrupted` at the next run, so that a node whose token is
long gone never loses its identity.
"""

from __future__ import annotations

import os
from pathlib import Path

from edgelab.identity.ca import load_certificate, load_key


def write(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace a file's content durably. Raises OSError."""
    _sync_rename(_stage(path, data, mode), path)


def write_pair(cert: Path, cert_pem: bytes, key: Path, key_pem: bytes) -> None:
    """Replace a certificate and its key together. Raises OSError."""
    staged = [(_stage(key, key_pem, 0o600), key), (_stage(cert, cert_pem, 0o600), cert)]
    for new, path in staged:
        _sync_rename(new, path)


def pending_key(key: Path) -> Path:
    """Where the key of an enrolment lies whose answer has not come yet.

    An attempt that is repeated must be the same request, or CloudCore takes it for a second use of a
    token for one node.
    """
    return key.with_name(key.name + ".enrol")


def finish_interrupted(cert: Path, key: Path) -> bool:
    """Complete a `write_pair` that a crash cut in two; whether there was something to do."""
    candidates = {path: _staged(path) for path in (cert, key)}
    if not any(new.exists() for new in candidates.values()) or matches(cert, key):
        for new in candidates.values():
            new.unlink(missing_ok=True)
        return False
    newest = [new if new.exists() else path for path, new in candidates.items()]
    if not matches(newest[0], newest[1]):
        return False
    for path, new in candidates.items():
        if new.exists():
            _sync_rename(new, path)
    return True


def matches(cert: Path, key: Path) -> bool:
    """Whether both files can be read and belong together."""
    try:
        return load_certificate(cert.read_bytes()).public_key() == load_key(key.read_bytes()).public_key()
    except (OSError, ValueError):
        return False


def _staged(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def _stage(path: Path, data: bytes, mode: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    new = _staged(path)
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return new


def _sync_rename(new: Path, path: Path) -> None:
    new.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
