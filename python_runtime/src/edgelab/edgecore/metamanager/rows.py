"""The `meta` table: key = resource, type = its type token, value = the object's JSON."""

from __future__ import annotations

from edgelab.edgecore.store import Statement, Store

_UPSERT = (
    "INSERT INTO meta (key, type, value) VALUES (?, ?, ?)"
    " ON CONFLICT (key) DO UPDATE SET type = excluded.type, value = excluded.value"
)
# An object that was deleted and made again under its name must outlive the late news of the deletion.
_DELETE_UID = (
    "DELETE FROM meta WHERE key = ?1 AND (?2 = '' OR ?2 = CASE WHEN json_valid(value)"
    " THEN coalesce(json_extract(value, '$.metadata.uid'), ?2) ELSE ?2 END)"
)
_DELETE_ORPHAN = "DELETE FROM meta WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM meta WHERE key = ?2)"
_DELETE_TOKENS = "DELETE FROM meta WHERE type = 'serviceaccounttoken' AND instr(key, ?) > 0"


def put(key: str, kind: str, value: bytes) -> Statement:
    """Insert or replace a row."""
    return _UPSERT, (key, kind, value.decode())


def drop(key: str) -> Statement:
    """Delete a row."""
    return "DELETE FROM meta WHERE key = ?", (key,)


def drop_object(key: str, uid: str) -> Statement:
    """Delete a row if it is the object with this uid; an empty uid takes whatever is there."""
    return _DELETE_UID, (key, uid)


def drop_with_pod(namespace: str, name: str, uid: str) -> list[Statement]:
    """Delete a pod's row and, when it is gone, what belongs to it."""
    pod = f"{namespace}/pod/{name}"
    statements: list[Statement] = [
        drop_object(pod, uid),
        (_DELETE_ORPHAN, (f"{namespace}/podpatch/{name}", pod)),
    ]
    return [*statements, (_DELETE_TOKENS, (f'UID:"{uid}"',))] if uid else statements


def value(store: Store, key: str) -> bytes | None:
    """The value of a row."""
    found = store.read("SELECT value FROM meta WHERE key = ?", (key,))
    return found[0][0].encode() if found else None


def of_type(store: Store, kind: str) -> list[tuple[str, bytes]]:
    """Keys and values of all rows of a type."""
    found = store.read("SELECT key, value FROM meta WHERE type = ? ORDER BY key", (kind,))
    return [(key, text.encode()) for key, text in found]
