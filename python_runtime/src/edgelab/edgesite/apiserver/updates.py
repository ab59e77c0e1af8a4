"""What an update may touch, and what counts as a change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.store import Key
from edgelab.objects.status import ApiError, already_exists, conflict

Obj = dict[str, Any]

PRECONDITIONS = (
    ("uid", "UID", "deleted and then recreated"),
    ("resourceVersion", "ResourceVersion", "modified"),
)


class Edit(NamedTuple):
    """A change: what `make` makes of the present object, or of the part that the subresource covers.

    `patched` for one that came as a patch, `applied` for one that has its managers already.
    """

    make: Callable[[Obj], Obj]
    subresource: str = ""
    patched: bool = False
    applied: bool = False


def wrong_uid(kind: Kind, key: Key, wanted: str, found: str) -> str:
    """The words of the store for an object that was made anew."""
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
        result = {**old, "metadata": _status_metadata(kind, new["metadata"], old["metadata"])}
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


def _status_metadata(kind: Kind, new: Obj, old: Obj) -> Obj:
    """Of the metadata an update of the status may change some for built-in kinds, else only the managers."""
    if kind.custom is not None:
        return {**old, "managedFields": new.get("managedFields") or old.get("managedFields") or []}
    if kind.plural != "deployments":
        return new
    kept = {key: value for key, value in new.items() if key != "labels"}
    return {**kept, **({"labels": old["labels"]} if "labels" in old else {})}


def content(kind: Kind, obj: Obj) -> Obj:
    """What a generation counts."""
    left_out = (
        {"metadata", "status"} if kind.custom is None or "status" in kind.subresources else {"metadata"}
    )
    return {key: value for key, value in obj.items() if key not in left_out}


def check_deletion(kind: Kind, name: str, wanted: Obj, old: Obj) -> None:
    """The preconditions of DeleteOptions. Raises ApiError 409."""
    for field, title, why in PRECONDITIONS:
        found = old["metadata"][field]
        if wanted.get(field) and wanted[field] != found:
            text = f"the {title} in the precondition ({wanted[field]}) does not match the {title} in record"
            raise conflict(kind.name, name, f"{text} ({found}). The object might have been {why}", kind.group)


def exists(kind: Kind, name: str, present: Obj) -> ApiError:
    """409 for a name that is taken, if only by an object on its way out."""
    error = already_exists(kind.plural, name, kind.group)
    if present["metadata"].get("deletionTimestamp"):
        error.message = f"object is being deleted: {error.message}"
    return error
