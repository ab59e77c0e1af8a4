# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""Container images as OCI layout archives, byte for byte the same for the same content.

Formats: OCI image-spec 1.0 (image-layout.md, manifest.md, config.md) and, in the same archive, the
`manifest.json` of `docker save`, so that `ctr images import` and `docker load` both take it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
INPUTS = "io.edgelab.inputs"
"""Annotation of the archive's index: hash of everything the image was made from."""

PACKAGES = "io.edgelab.packages"
"""Annotation of the archive's index: `name=version`, separated by blanks."""

EPOCH = "1970-01-01T00:00:00Z"
OCI_ARCHITECTURES = {"amd64": ("amd64", ""), "arm64": ("arm64", "v8"), "armhf": ("arm", "v7")}


@dataclass
class Entry:
    """One path of an image: a file (content), a directory, or a symbolic link (target)."""

    mode: int = 0o644
    content: bytes | None = None
    target: str = ""

    @property
    def is_dir(self) -> bool:
        """A directory has neither content nor target."""
        return self.content is None and not self.target


@dataclass
class Tree:
    """The files of an image, without a leading slash. Below /bin, /sbin and /lib* lies /usr (usr-merge)."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def put(self, path: str, entry: Entry) -> None:
        """Add or replace a path; its missing parents become directories of mode 0755."""
        path = merged(path)
        for at, letter in enumerate(path):
            if letter == "/":
                self.entries.setdefault(path[:at], Entry(0o755))
        self.entries[path] = entry

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Add a regular file."""
        self.put(path, Entry(mode, content))

    def link(self, path: str, target: str) -> None:
        """Add a symbolic link."""
        self.put(path, Entry(0o777, None, target))

    def read(self, path: str) -> bytes | None:
        """A file's content through symbolic links; None when there is none."""
        path = merged(path)
        for _hop in range(8):
            entry = self.entries.get(path)
            if entry is None or entry.is_dir:
                return None
            if not entry.target:
                return entry.content
            path = resolve(path, entry.target)
        return None


def merged(path: str) -> str:
    """`/lib/x` as `usr/lib/x`: where a file of a merged-/usr system really lies."""
    path = path.strip("/")
    head, slash, rest = path.partition("/")
    if slash and head in ("bin", "sbin", "lib", "lib64", "lib32"):
        return f"usr/{head}/{rest}"
    return path


def resolve(path: str, target: str) -> str:
    """Where a link at `path` points, as a path of the tree."""
    parts = [] if target.startswith("/") else path.split("/")[:-1]
    for part in target.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return merged("/".join(parts))


def layer_tar(tree: Tree) -> bytes:
    """The tree as a tar file with nothing in it that depends on when or where it was made."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(tree.entries):
            entry = tree.entries[path]
            info = tarfile.TarInfo(path)
            info.mode = entry.mode
            if entry.is_dir:
                info.type = tarfile.DIRTYPE
            elif entry.target:
                info.type, info.linkname = tarfile.SYMTYPE, entry.target
            else:
                info.size = len(entry.content or b"")
            tar.addfile(info, io.BytesIO(entry.content or b""))
    return buffer.getvalue()


@dataclass
class Image:
    """An image in memory. `config` is the `config` object of the OCI image configuration."""

    reference: str
    arch: str
    tree: Tree
    config: dict[str, Any]
    inputs: str
    packages: str = ""

    def archive(self) -> tuple[bytes, str]:
        """The archive and the digest of the image's manifest."""
        plain = layer_tar(self.tree)
        packed = gzip.compress(plain, compresslevel=6, mtime=0)
        architecture, variant = OCI_ARCHITECTURES[self.arch]
        config = _json(
            {
                "created": EPOCH,
                "architecture": architecture,
                **({"variant": variant} if variant else {}),
                "os": "linux",
                "config": self.config,
                "rootfs": {"type": "layers", "diff_ids": [_digest(plain)]},
                "history": [{"created": EPOCH, "created_by": "edgelab debian_image"}],
            }
        )
        manifest = _json(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "config": _descriptor(CONFIG, config),
                "layers": [_descriptor(LAYER, packed)],
            }
        )
        return self._write(config, packed, manifest), _digest(manifest)

    def _write(self, config: bytes, layer: bytes, manifest: bytes) -> bytes:
        entry = _descriptor(MANIFEST, manifest)
        entry["annotations"] = {
            INPUTS: self.inputs,
            PACKAGES: self.packages,
            "io.containerd.image.name": self.reference,
            "org.opencontainers.image.ref.name": self.reference.rpartition(":")[2],
        }
        docker = [{"Config": _blob(config), "RepoTags": [self.reference], "Layers": [_blob(layer)]}]
        tree = Tree()
        tree.file("oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        tree.file("index.json", _json({"schemaVersion": 2, "manifests": [entry]}))
        tree.file("manifest.json", _json(docker))
        for blob in (config, layer, manifest):
            tree.file(_blob(blob), blob)
        return layer_tar(tree)


def inspect(path: str) -> dict[str, str]:
    """`digest`, `reference`, `inputs` and `packages` of an archive.

    Empty when it was not written here, or is damaged.
    """
    try:
        with tarfile.open(path) as tar:
            index = json.load(_member(tar, "index.json"))
            entry = index["manifests"][0]
            manifest_bytes = _member(tar, "blobs/sha256/" + entry["digest"].partition(":")[2]).read()
            manifest = json.loads(manifest_bytes)
            for part in (manifest["config"], *manifest["layers"]):
                blob = _member(tar, "blobs/sha256/" + part["digest"].partition(":")[2])
                if _stream_digest(blob) != part["digest"]:
                    return {}
    except (OSError, tarfile.TarError, ValueError, KeyError, IndexError, TypeError):
        return {}
    if _digest(manifest_bytes) != entry["digest"]:
        return {}
    notes = entry.get("annotations", {})
    return {
        "digest": entry["digest"],
        "reference": notes.get("io.containerd.image.name", ""),
        "inputs": notes.get(INPUTS, ""),
        "packages": notes.get(PACKAGES, ""),
    }


def _member(tar: tarfile.TarFile, name: str) -> Any:
    stream = tar.extractfile(name)
    if stream is None:
        raise KeyError(name)
    return stream


def _stream_digest(stream: Any) -> str:
    digest = hashlib.sha256()
    while chunk := stream.read(1 << 20):
        digest.update(chunk)
    return "sha256:" + digest.hexdigest()


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _blob(data: bytes) -> str:
    return "blobs/sha256/" + hashlib.sha256(data).hexdigest()


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}
