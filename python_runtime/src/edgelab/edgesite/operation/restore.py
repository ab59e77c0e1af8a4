"""Put a backup into a data directory: checked before anything is touched, and all of it or nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

from edgelab.daemon.errors import Fatal
from edgelab.edgesite.operation import archive, copies, datadir


class Restored(NamedTuple):
    """`revision` is where resourceVersions go on; `replaced` is where the old state lies, if any."""

    manifest: archive.Manifest
    revision: int
    replaced: Path | None


def restore(source: Path, data_dir: Path, *, force: bool = False) -> Restored:
    """Restore a site, which must not run, into an empty data directory or, with `force`, over another
    state. Raises Fatal.
    """
    manifest = archive.verify(source)
    with datadir.locked(data_dir):
        datadir.finish(data_dir)
        present = datadir.occupied(data_dir)
        if present and not force:
            raise Fatal(
                f"{data_dir} holds a site already ({', '.join(present)}); --force replaces it and puts the"
                f" old state aside, in {data_dir / datadir.REPLACED}"
            )
        _insist_on_room(manifest, source, data_dir)
        try:
            staged = datadir.stage(data_dir)
            archive.verify(source, staged)
            copies.check(staged / datadir.DATABASE)
            replaced = copies.term_of(data_dir / datadir.DATABASE)
            revision = copies.begin_anew(staged / datadir.DATABASE, replaced)
            return Restored(manifest, revision, datadir.put_in(data_dir))
        except OSError as error:
            raise Fatal(f"cannot restore into {data_dir}: {error}") from error


def is_usable(data_dir: Path) -> bool:
    """Whether there is a sound state of this version's layout, or of an older one. Raises Fatal when it
    is in use.
    """
    with datadir.locked(data_dir):
        datadir.finish(data_dir)
        try:
            return (data_dir / datadir.DATABASE).exists() and copies.check(data_dir / datadir.DATABASE) > 0
        except Fatal:
            return False


def _insist_on_room(manifest: archive.Manifest, source: Path, data_dir: Path) -> None:
    needed = sum(member.size for member in manifest.files.values())
    free = shutil.disk_usage(data_dir).free
    if free < needed:
        raise Fatal(f"{source} needs {needed >> 20} MiB in {data_dir}, where {free >> 20} MiB are free")


def promote(data_dir: Path) -> int:
    """Make a follower's copy a site of its own; gives the revision it goes on with. Raises Fatal."""
    with datadir.locked(data_dir):
        datadir.finish(data_dir)
        database = data_dir / datadir.DATABASE
        if not database.exists():
            raise Fatal(f"{data_dir} holds no copy of a site; `edgesite follow` makes one")
        if not copies.is_copy(database):
            raise Fatal(f"{data_dir} holds a site already, no follower's copy: there is nothing to promote")
        copies.check(database)
        return copies.begin_anew(database)


def demote(data_dir: Path) -> Path | None:
    """Put the site of a box aside, so that it can follow another one; gives where it lies now, None when
    there is no site but a copy or nothing. Raises Fatal.
    """
    with datadir.locked(data_dir):
        datadir.finish(data_dir)
        database = data_dir / datadir.DATABASE
        if not database.exists() or copies.is_copy(database):
            return None
        return datadir.put_aside(data_dir)
