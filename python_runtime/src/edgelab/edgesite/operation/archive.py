"""Backups as files: a tar archive with a manifest that holds a hash of every other member."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from edgelab import __version__
from edgelab.daemon.clock import Clock, rfc3339
from edgelab.daemon.errors import Fatal
from edgelab.edgesite.operation import copies
from edgelab.edgesite.operation.datadir import DATABASE, KEYS
from edgelab.edgesite.store import schema
from edgelab.edgesite.store.disk import sync_directory

FORMAT = 1
MANIFEST = "manifest.json"
COMPRESSION = 3
CHUNK = 1 << 20


class Member(msgspec.Struct, frozen=True):
    """A file of the archive."""

    size: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True):
    """What the archive holds. `layout` is the database's, `ca` the hash of the CA's certificate."""

    format: int
    version: str
    layout: int
    created: str
    revision: int
    files: dict[str, Member]
    ca: str = ""

    @property
    def keys(self) -> bool:
        """Whether it holds the site's keys."""
        return any(name.startswith(f"{KEYS}/") for name in self.files)


def write(data_dir: Path, target: Path, clock: Clock, *, keys: bool = True) -> tuple[Path, Manifest]:
    """Back up a site, which may be running, into a file or, with a name of its own, into a directory.
    The file is there whole and checked, or not at all. Raises Fatal.
    """
    if target.is_dir():
        target = target / f"edgesite-{clock.now():%Y%m%dT%H%M%SZ}.tar.gz"
    try:
        with _scratch(target.parent) as scratch:
            manifest = _collect(data_dir, scratch, clock, keys=keys)
            partial = scratch / "archive"
            _pack(scratch, partial, manifest)
            verify(partial)
            partial.replace(target)
        sync_directory(target.parent)
    except (OSError, tarfile.TarError) as error:
        raise Fatal(f"cannot write the backup {target}: {error}") from error
    return target, manifest


@contextmanager
def _scratch(directory: Path) -> Iterator[Path]:
    scratch = Path(tempfile.mkdtemp(prefix=".edgesite-backup-", dir=directory))
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _collect(data_dir: Path, scratch: Path, clock: Clock, *, keys: bool) -> Manifest:
    revision = copies.copy(data_dir / DATABASE, scratch / DATABASE)
    names = [DATABASE]
    if keys:
        (scratch / KEYS).mkdir(mode=0o700)
        for path in sorted((data_dir / KEYS).glob("[!.]*")):
            shutil.copyfile(path, scratch / KEYS / path.name)
            names.append(f"{KEYS}/{path.name}")
    authority = data_dir / KEYS / "ca.crt"
    return Manifest(
        format=FORMAT,
        version=__version__,
        layout=schema.VERSION,
        created=rfc3339(clock.now()),
        revision=revision,
        files={name: _member(scratch / name) for name in names},
        ca=_member(authority).sha256 if authority.exists() else "",
    )


def _member(path: Path) -> Member:
    with path.open("rb") as file:
        return Member(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def _pack(scratch: Path, target: Path, manifest: Manifest) -> None:
    (scratch / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as raw:
        with (
            gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=COMPRESSION, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for name in (MANIFEST, *manifest.files):
                archive.add(scratch / name, name, recursive=False, filter=_private)
        raw.flush()
        os.fsync(raw.fileno())


def _private(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mode, member.uid, member.gid, member.uname, member.gname = 0o600, 0, 0, "", ""
    return member


def verify(path: Path, into: Path | None = None) -> Manifest:
    """Compare every hash, and write the files below `into` when it is given. Raises Fatal."""
    try:
        with tarfile.open(path, "r:*") as archive:
            manifest = _manifest(archive, path)
            for member in archive:
                _check_member(archive, member, manifest, into)
            missing = set(manifest.files) - set(archive.getnames())
    except (OSError, EOFError, ValueError, tarfile.TarError) as error:
        raise Fatal(f"{path} is no whole backup of a site: {error}") from error
    if missing:
        raise Fatal(f"{path} is no whole backup of a site: {', '.join(sorted(missing))} is missing")
    return manifest


def _manifest(archive: tarfile.TarFile, path: Path) -> Manifest:
    first = archive.next()
    content = archive.extractfile(first) if first is not None and first.name == MANIFEST else None
    if content is None:
        raise Fatal(f"{path} is no backup of a site: it does not begin with {MANIFEST}")
    found = msgspec.json.decode(content.read(), type=Manifest)
    if found.format > FORMAT or found.layout > schema.VERSION:
        raise Fatal(f"{path} was made by a newer edgesite ({found.version}); restore it with that version")
    return found


def _check_member(
    archive: tarfile.TarFile, member: tarfile.TarInfo, manifest: Manifest, into: Path | None
) -> None:
    if member.name == MANIFEST:
        return
    expected, content = manifest.files.get(member.name), archive.extractfile(member)
    directory, _, name = member.name.rpartition("/")
    if expected is None or content is None or directory not in ("", KEYS) or name in ("", ".", ".."):
        raise ValueError(f"it holds {member.name!r}, which does not belong there")
    found = hashlib.sha256()
    if into is None:
        _pump(content, found, None)
    else:
        (into / directory).mkdir(mode=0o700, exist_ok=True)
        with os.fdopen(
            os.open(into / member.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
        ) as file:
            _pump(content, found, file)
    if found.hexdigest() != expected.sha256:
        raise ValueError(f"the hash of {member.name} is wrong")


def _pump(source: IO[bytes], digest: hashlib._Hash, target: IO[bytes] | None) -> None:
    while chunk := source.read(CHUNK):
        digest.update(chunk)
        if target is not None:
            target.write(chunk)
