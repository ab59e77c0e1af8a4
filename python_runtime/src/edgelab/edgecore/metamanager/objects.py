"""The `meta_v2` table: API objects by their address, and what the MetaServer keeps besides.

Columns and keys are KubeEdge's (`edge/pkg/metamanager/dao/models`): `/core/v1/pods/default/web`. Answers
to discovery stand under their URL path.
"""

from __future__ import annotations

from edgelab.edgecore.store import Statement, Store
from edgelab.protocol.content.applications import Key

_UPSERT = (
    "INSERT INTO meta_v2 (key, group_version_resource, namespace, name, resource_version, value)"
    " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET"
    " resource_version = excluded.resource_version, value = excluded.value"
)
_INDEX = (
    "SELECT key, resource_version, CASE WHEN json_valid(value)"
    " THEN coalesce(json_extract(value, '$.metadata.uid'), '') ELSE '' END"
    " FROM meta_v2 WHERE group_version_resource <> ''"
)


def put(key: Key, version: int, value: bytes) -> Statement:
    """Insert or replace an object."""
    gvr = f"{key.group}/{key.version}, Resource={key.resource}"
    return _UPSERT, (str(key), gvr, key.namespace, key.name, version, value.decode())


def put_document(path: str, value: bytes) -> Statement:
    """Insert or replace the answer to a path."""
    return _UPSERT, (path, "", "", "", 0, value.decode())


def drop(key: str) -> Statement:
    """Delete a row."""
    return "DELETE FROM meta_v2 WHERE key = ?", (key,)


def value(store: Store, key: str) -> bytes | None:
    """The value of a row."""
    found = store.read("SELECT value FROM meta_v2 WHERE key = ?", (key,))
    return found[0][0].encode() if found else None


def prefix(key: Key) -> str:
    """What the keys of all objects of a resource, or of those in its namespace, begin with."""
    head = f"{key.group or 'core'}/{key.version}/{key.resource}/"
    return f"/{head}{key.namespace}/" if key.namespace else f"/{head}"


def below(store: Store, start: str) -> list[tuple[str, int, bytes]]:
    """Key, version and value of every object whose key begins with `start`, by key."""
    sql = "SELECT key, resource_version, value FROM meta_v2 WHERE key >= ? AND key < ? ORDER BY key"
    end = start[:-1] + chr(ord(start[-1]) + 1)
    return [(key, version, text.encode()) for key, version, text in store.read(sql, (start, end))]


def index(store: Store) -> dict[str, tuple[int, str]]:
    """Version and UID of every object, by key."""
    return {key: (int(version or 0), uid) for key, version, uid in store.read(_INDEX)}
