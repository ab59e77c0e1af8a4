# Copyright: edgelab contributors. Licensed under the Apache License 2.0 (see LICENSE)
"""The manifest of a bundle: what is in it, the SHA-256 of every file, and what is not in it and why."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path

from ansible_collections.edgelab.kubeedge.plugins.module_utils import fetching

FORMAT = 1
NAME = "manifest.json"


class BundleProblem(Exception):
    """A bundle cannot be used; the text names the file and what to do."""


def files(directory):
    """SHA-256 of every file below the directory, by its path in it; the manifest left out."""
    found = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink():
            raise BundleProblem(f"{path} is a symbolic link; a bundle holds plain files")
        if path.is_file() and name != NAME:
            found[name] = fetching.sha256(str(path))
    return found


def write(directory, content, *, check_mode=False):
    """Write the manifest with `content` beside the files' hashes; whether it is another one than before."""
    text = (
        json.dumps({"format": FORMAT, **content, "files": files(directory)}, indent=1, sort_keys=True) + "\n"
    )
    path = directory / NAME
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return False
    if not check_mode:
        handle, name = tempfile.mkstemp(dir=str(directory), prefix=f".{NAME}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    return True


def digest(directory):
    """SHA-256 of the manifest: the one number that stands for the whole bundle."""
    return hashlib.sha256((directory / NAME).read_bytes()).hexdigest()


def verify(directory, expected=None):
    """The manifest, after every file was checked. Raises BundleProblem naming the first bad file."""
    path = directory / NAME
    if not path.exists():
        raise BundleProblem(f"{directory} is no bundle, it has no {NAME}: make one with playbooks/bundle.yml")
    if expected and digest(directory) != expected:
        raise BundleProblem(
            f"{path} has the SHA-256 {digest(directory)}, and artifacts_bundle_sha256 is {expected}: this is "
            "another bundle than the one that was made, or it was changed on the way"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        stated = dict(manifest["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise BundleProblem(f"{path} cannot be read ({error}): copy the bundle again") from None
    if manifest.get("format") != FORMAT:
        raise BundleProblem(f"{path} has format {manifest.get('format')}, and this collection reads {FORMAT}")
    _compare(directory, stated, files(directory))
    return manifest


def _compare(directory, stated, found):
    missing = sorted(set(stated) - set(found))
    if missing:
        raise BundleProblem(f"{len(missing)} files of the bundle are missing, {directory / missing[0]} first")
    for name, digest_stated in stated.items():
        if found[name] != digest_stated:
            raise BundleProblem(
                f"{directory / name} has the SHA-256 {found[name]} instead of {digest_stated}: copy it "
                "again, or make it again with playbooks/bundle.yml"
            )
    unknown = sorted(set(found) - set(stated))
    if unknown:
        raise BundleProblem(f"{directory / unknown[0]} is not in the manifest: remove it, or seal again")
