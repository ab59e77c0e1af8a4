"""What a write touches, counts and says, apart from the store."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.store import Key

Obj = dict[str, Any]


def wrong_uid(kind: Kind, key: Key, wanted: str, found: str) -> str:
    """The storage's words for a uid that is another one's."""
    path = "/".join(filter(None, ("/registry", kind.group, kind.plural, key.namespace, key.name)))
    return (
        f"StorageError: invalid object, Code: 4, Key: {path}, ResourceVersion: 0, AdditionalErrorMsg:"
        f" Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
    )


def limit(kind: Kind, new: Obj, old: Obj, subresource: str) -> Obj:
    """What an update may touch: everything but the status, or only what the subresource covers."""
    if not subresource:
        if "status" in kind.subresources:
            new = {key: value for key, value in new.items() if key != "status"}
            if "status" in old:
                new["status"] = old["status"]
        return new
    if subresource == "status":
        result = {**old, "metadata": new["metadata"] if kind.custom is None else dict(old["metadata"])}
        if "status" in new:
            result["status"] = new["status"]
        else:
            result.pop("status", None)
        return result
    if subresource == "finalize":
        return {**old, "metadata": dict(old["metadata"]), "spec": new.get("spec") or {}}
    if subresource == "approval":
        conditions = (new.get("status") or {}).get("conditions") or []
        return {
            **old,
            "metadata": dict(old["metadata"]),
            "status": {**(old.get("status") or {}), "conditions": conditions},
        }
    return new
