"""EdgeCore's database, only read: which Kubernetes objects the node knows (KubeEdge's tables)."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgelab.keadm.report import Failure

Obj = dict[str, Any]
KINDS = {
    "pod": "Pod",
    "node": "Node",
    "service": "Service",
    "secret": "Secret",
    "configmap": "ConfigMap",
    "endpoints": "Endpoints",
    "lease": "Lease",
    "device": "Device",
    "devicemodel": "DeviceModel",
    "event": "Event",
}
PATCHED = {"pod": "podpatch", "node": "nodepatch"}
"""Rows that hold the status which the node itself reported last."""


@contextmanager
def opened(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection that cannot write. Raises Failure naming the file."""
    if not database.exists():
        raise Failure(f"there is no {database}: EdgeCore has not run here yet, or --edgedb-path is wrong")
    # Without a write-ahead log nobody has it open, and `immutable` then leaves no file behind.
    alone = "" if Path(f"{database}-wal").exists() else "&immutable=1"
    try:
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro{alone}", uri=True)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise Failure(f"{database}: {error}; is it EdgeCore's database?") from None


def objects(database: Path, kind: str) -> list[Obj]:
    """All objects of a kind, ordered by key, with the status that the node reported last."""
    with opened(database) as connection:
        found = dict(_rows(connection, kind))
        if kind in PATCHED:
            for key, patch in _rows(connection, PATCHED[kind]):
                target = found.get(key.replace(f"/{PATCHED[kind]}/", f"/{kind}/"))
                if target is not None and patch.get("status"):
                    target["status"] = {**(target.get("status") or {}), **patch["status"]}
        for key, obj in _served(connection, kind):
            found.setdefault(key, obj)
    return [_complete(obj, kind) for _, obj in sorted(found.items())]


def _rows(connection: sqlite3.Connection, kind: str) -> Iterator[tuple[str, Obj]]:
    """Rows of `meta` whose value is an object; one that is not is none of ours to show."""
    rows = connection.execute("SELECT key, value FROM meta WHERE type = ? ORDER BY key", (kind,))
    yield from ((key, obj) for key, text in rows if (obj := _decoded(text)) is not None)


def _served(connection: sqlite3.Connection, kind: str) -> Iterator[tuple[str, Obj]]:
    """Objects that MetaServer keeps (`meta_v2`), by the key that they would have in `meta`."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta_v2'").fetchone():
        return
    plural = kind if kind == "endpoints" else f"{kind}s"
    query = "SELECT namespace, name, value FROM meta_v2 WHERE key LIKE ? ESCAPE '\\' AND name != ''"
    for namespace, name, text in connection.execute(query, (f"/%/%/{plural}/%",)):
        obj = _decoded(text)
        if obj is not None:
            yield f"{namespace or 'null'}/{kind}/{name}", obj


def _decoded(text: str) -> Obj | None:
    """An object; the original stores some of them as JSON inside a JSON text."""
    try:
        value = json.loads(text)
        value = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _complete(obj: Obj, kind: str) -> Obj:
    """With kind and apiVersion, which messages leave out."""
    obj.setdefault("kind", KINDS.get(kind, kind))
    obj.setdefault("apiVersion", "v1")
    obj.setdefault("metadata", {})
    return obj


def facts(database: Path) -> dict[str, Any]:
    """What can be told about the file without its contents: size, soundness, rows of each kind."""
    with opened(database) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        kinds = connection.execute("SELECT type, count(*) FROM meta GROUP BY type").fetchall()
        sound = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
        counts = {
            name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]  # noqa: S608 - its own names
            for name in tables
        }
    return {
        "bytes": database.stat().st_size,
        "quick_check": sound,
        "rows": counts,
        "meta": {str(kind): number for kind, number in kinds},
    }
