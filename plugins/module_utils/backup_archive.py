"""The archive of one host's backup: how it is written, checked and put back.

<directory>/<time>/<node>.tar.gz, of mode 0600, holds `manifest.json` first and then one member for each file:

{"format": 1, "node": ..., "cluster": sha256 of the cluster's CA, "version": ..., "time": ...,
 "components": {name: {"entries": [{"path", "kind": file|database|directory|link, "mode", "uid", "gid",
                                    "size", "sha256", "member", and of a database its digests}],
                       "objects": [{"member", "sha256", "size", "count"}], "missing": [path]}}}
"""

from __future__ import annotations

import glob
import hashlib
import io
import json
import os
import re
import shutil
import stat
import tarfile
import time

from ansible_collections.edgelab.kubeedge.plugins.module_utils import backup_sqlite as databases

FORMAT = 1
MANIFEST = "manifest.json"
STAMP = re.compile(r"\d{8}T\d{6}Z")
CHUNK = 1 << 20
RESERVE = 16 << 20
"""Bytes that a backup or a restore leaves free on the disk."""


class BackupError(Exception):
    """A backup cannot be made, is damaged or does not belong here; the message names the file."""


def sha256(path):
    """Hash of a file's content."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(CHUNK), b""):
            digest.update(block)
    return digest.hexdigest()


def cluster_id(authorities):
    """Hash of the first of the cluster's CA files that is there; empty on a host that belongs to none."""
    return next((sha256(path) for path in authorities if os.path.isfile(path)), "")


def need_space(directory, size):
    """Raise BackupError unless the file system of `directory` has room for `size` bytes and a reserve."""
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    free = shutil.disk_usage(directory).free
    if free < size + RESERVE:
        raise BackupError(
            "{} has {} MiB free and {} MiB are needed: make room there".format(
                directory, free >> 20, (size + RESERVE) >> 20
            )
        )


def found_files(paths):
    """Files, directories and links at and below the paths, in order, and the paths that are not there.

    A path may be a pattern with `*`, which stands for those that are there.
    """
    found, missing = [], []
    for top in [name for path in paths for name in (glob.glob(path) if "*" in path else [path])]:
        if not os.path.lexists(top):
            missing.append(top)
            continue
        found.append(top)
        if os.path.isdir(top) and not os.path.islink(top):
            for folder, folders, files in os.walk(top):
                found += sorted(os.path.join(folder, name) for name in folders + files)
    return sorted(set(found)), missing


def entry_of(path, kind=None):
    """What the manifest says about a file, besides its hash."""
    status = os.lstat(path)
    if kind is None:
        kinds = {stat.S_IFDIR: "directory", stat.S_IFLNK: "link", stat.S_IFREG: "file"}
        kind = kinds.get(stat.S_IFMT(status.st_mode))
    entry = {
        "path": path,
        "kind": kind,
        "mode": stat.S_IMODE(status.st_mode),
        "uid": status.st_uid,
        "gid": status.st_gid,
    }
    if kind == "link":
        entry["target"] = os.readlink(path)
    return entry


class Writer:
    """Gathers one archive in a scratch directory beside the finished ones."""

    def __init__(self, scratch, head):
        self.scratch = scratch
        self.manifest = dict(head, format=FORMAT, components={})
        self._members = []

    def add(self, name, files, live, objects):
        """Take one component: files and directories, databases in use, and lists of cluster objects."""
        found, missing = found_files(files)
        entries = []
        for path in [path for path in found if path not in live]:
            entry = entry_of(path)
            if entry["kind"] == "file":
                entry.update(self._member(path))
            if entry["kind"]:  # sockets and devices mean nothing in a backup
                entries.append(entry)
        for path in live:
            if not os.path.exists(path):
                missing.append(path)
                continue
            held = os.path.join(self.scratch, f"database-{len(self._members)}")
            databases.copy(path, held)
            databases.check(held, path)
            entry = dict(entry_of(path, "database"), **databases.digests(held))
            entries.append(dict(entry, **self._member(held)))
        lists = [dict(self._text(json.dumps(items, indent=1)), count=len(items)) for items in objects]
        self.manifest["components"][name] = {"entries": entries, "objects": lists, "missing": missing}

    def _member(self, path):
        member = f"data/{len(self._members)}"
        self._members.append((member, path))
        return {"member": member, "sha256": sha256(path), "size": os.path.getsize(path)}

    def _text(self, text):
        path = os.path.join(self.scratch, f"objects-{len(self._members)}")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        return self._member(path)

    def write(self, path):
        """Write the archive and have it on the disk when this returns."""
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as tar:
                self._put(tar, MANIFEST, json.dumps(self.manifest, indent=1).encode())
                for member, source in self._members:
                    with open(source, "rb") as data:
                        info = self._info(member, os.path.getsize(source))
                        tar.addfile(info, data)
            file.flush()
            os.fsync(file.fileno())

    @staticmethod
    def _info(name, size):
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = size, 0o600, int(time.time())
        return info

    def _put(self, tar, name, data):
        tar.addfile(self._info(name, len(data)), io.BytesIO(data))


def read_manifest(path):
    """The manifest of an archive. Raises BackupError."""
    try:
        with tarfile.open(path, "r:gz") as tar:
            first = tar.next()
            if first is None or first.name != MANIFEST:
                raise BackupError(f"{path} is no backup: it does not begin with {MANIFEST}")
            manifest = json.loads(tar.extractfile(first).read())
    except (OSError, EOFError, ValueError, tarfile.TarError) as error:
        raise BackupError(f"{path} cannot be read: {error}") from None
    if manifest.get("format") != FORMAT:
        raise BackupError(f"{path} has format {manifest.get('format')}, and this version reads {FORMAT}")
    return manifest


def parts(manifest, names=()):
    """Everything in the archive that has a hash, of the components named, or of all."""
    for name, component in manifest["components"].items():
        if not names or name in names:
            for entry in component["entries"] + component["objects"]:
                if "member" in entry:
                    yield entry


def unpack(path, manifest, names, scratch):
    """Take the components' data into `scratch`, every hash and database checked. Raises BackupError.

    Gives where each member lies now. Names inside the archive decide nothing about paths.
    """
    wanted = {entry["member"]: entry for entry in parts(manifest, names)}
    need_space(scratch, sum(entry["size"] for entry in wanted.values()))
    where = {}
    try:
        with tarfile.open(path, "r:gz") as tar:
            for info in tar:
                if info.name in wanted and info.isreg():
                    where[info.name] = os.path.join(scratch, f"member-{len(where)}")
                    with open(os.open(where[info.name], os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
                        shutil.copyfileobj(tar.extractfile(info), file, CHUNK)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise BackupError(f"{path} is damaged: {error}") from None
    for member, entry in wanted.items():
        name = entry.get("path", "a list of objects")
        if member not in where or sha256(where[member]) != entry["sha256"]:
            raise BackupError(f"{path} is damaged: {name} is not what the manifest says")
        if entry.get("kind") == "database":
            databases.check(where[member], name)
    return where


def archives(directory, node):
    """The node's archives below a directory, the newest first."""
    try:
        stamps = [name for name in os.listdir(directory) if STAMP.fullmatch(name)]
    except OSError:
        return []
    paths = [os.path.join(directory, stamp, f"{node}.tar.gz") for stamp in sorted(stamps, reverse=True)]
    return [path for path in paths if os.path.isfile(path)]
