# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""Python wheels as files of an image: unpacked where Debian's Python looks for modules."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from ansible_collections.edgelab.kubeedge.plugins.module_utils.oci_archive import Tree

SITE = "usr/lib/python3/dist-packages"
"""On the path of Debian's Python, whichever version of it that is."""

LIBRARIES = ("purelib", "platlib")
"""Folders below `<name>.data` that hold modules; the others (scripts, headers) are not needed in an image."""


def digests(wheels: list[str]) -> dict[str, str]:
    """SHA-256 of each wheel by its file name."""
    return {Path(wheel).name: hashlib.sha256(Path(wheel).read_bytes()).hexdigest() for wheel in wheels}


def unpack(tree: Tree, wheel: str) -> None:
    """Put the modules of a wheel in place. Raises ValueError when it is none."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for info in sorted(archive.infolist(), key=lambda found: found.filename):
                path = place(info.filename)
                if path and not info.is_dir():
                    tree.file(path, archive.read(info))
    except zipfile.BadZipFile as error:
        raise ValueError(f"{wheel} is no wheel: {error}") from None


def place(name: str) -> str:
    """Where a file of a wheel goes; "" for what an image does not need. Raises ValueError."""
    if name.startswith("/") or ".." in name.split("/"):
        raise ValueError(f"a wheel holds a file outside of it: {name}")
    head, slash, rest = name.partition("/")
    if not head.endswith(".data") or not slash:
        return f"{SITE}/{name}"
    folder, inner = rest.split("/", 1) if "/" in rest else (rest, "")
    return f"{SITE}/{inner}" if folder in LIBRARIES and inner else ""
