"""The file of keys, changed without anybody seeing a key: `edgesite encryption new-key` and `retire`.

A key is changed in three steps, and the site can be read after each of them: a new key is put first in
its file, everything is written anew by it, and keys that nothing needs any more are taken out.
"""

from __future__ import annotations

import base64
import os
import secrets
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Fatal
from edgelab.edgesite.encryption import configuration
from edgelab.edgesite.encryption.transform import AtRest
from edgelab.edgesite.keys import write_private
from edgelab.edgesite.operation import datadir
from edgelab.edgesite.store import schema
from edgelab.edgesite.store.disk import sync_directory
from edgelab.edgesite.store.rows import COLUMNS, read

Obj = dict[str, Any]

KEY_BYTES = 32
IDENTITY = "identity"


def new_key(path: Path, provider: str, clock: Clock, resources: tuple[str, ...] = ("secrets",)) -> str:
    """Put a new key first in each rule of the file, which is made when it is missing; gives the key's
    name. Raises Fatal.
    """
    document = _document(path) if path.exists() else _first(resources)
    name = f"key-{clock.now():%Y%m%d}-{secrets.token_hex(4)}"
    for rule in document["resources"]:
        # One secret per rule: a key that protects two kinds of things would leak with either.
        key = {"name": name, "secret": base64.b64encode(os.urandom(KEY_BYTES)).decode()}
        rule["providers"] = _with_first(rule["providers"], provider, key)
    _write(path, document)
    return name


def is_first(path: Path, provider: str) -> bool:
    """Whether each rule of the file writes by a key of this provider. Raises Fatal."""
    return path.exists() and all(provider in rule["providers"][0] for rule in _document(path)["resources"])


def retire(path: Path, directory: Path) -> tuple[str, ...]:
    """Take out what nothing in a site that is not running is encrypted by, and gives the names. All of it
    must have been written anew before. Raises Fatal.
    """
    document, rules = _document(path), configuration.load(path)
    with datadir.locked(directory):
        datadir.finish(directory)
        left = _not_current(directory / datadir.DATABASE, AtRest(rules))
        if left:
            raise Fatal(
                f"{left} versions in {directory} are not written by the first key of {path}: run"
                f" `edgesite encryption rewrite --encryption-provider-config {path}` first"
            )
        gone = [name for rule in document["resources"] for name in _keep_first(rule)]
        if gone:
            _write(path, document)
    return tuple(dict.fromkeys(gone))


def _document(path: Path) -> Obj:
    configuration.load(path)  # says what is wrong with it
    found: Obj = yaml.safe_load(path.read_text())
    return found


def _first(resources: tuple[str, ...]) -> Obj:
    return {
        "apiVersion": configuration.API_VERSIONS[0],
        "kind": configuration.KIND,
        "resources": [{"resources": list(resources), "providers": [{IDENTITY: {}}]}],
    }


def _with_first(providers: list[Obj], kind: str, key: Obj) -> list[Obj]:
    """The providers with a new key as the one that writes; each key that is there goes on reading."""
    if kind in providers[0]:
        return [{kind: {"keys": [key, *providers[0][kind]["keys"]]}}, *providers[1:]]
    return [{kind: {"keys": [key]}}, *providers]


def _keep_first(rule: Obj) -> list[str]:
    """Leave a rule its first key, and the reading of what is not encrypted; gives the names of the others."""
    gone, kept = [], []
    for place, provider in enumerate(rule["providers"]):
        ((kind, settings),) = provider.items()
        keys = (settings or {}).get("keys", [])
        first = keys[:1] if place == 0 else []
        gone += [key["name"] for key in keys[len(first) :]]
        if first or kind == IDENTITY:
            kept.append({kind: {"keys": first}} if first else {IDENTITY: {}})
    rule["providers"] = kept
    return gone


def _not_current(database: Path, transform: AtRest) -> int:
    if not database.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute(f"SELECT {COLUMNS} FROM log")  # noqa: S608 - names of columns
            return sum(not transform.is_current(row.key, row.value) for row, _ in map(read, rows))
    except sqlite3.Error as error:
        raise schema.unusable(database, error) from error


def _write(path: Path, document: Obj) -> None:
    try:
        write_private(path, yaml.safe_dump(document, sort_keys=False).encode())
        sync_directory(path.parent)
    except OSError as error:
        raise Fatal(f"cannot write {path}: {error.strerror}") from error
