"""Owner references, labels, finalizers and conditions of objects."""

from __future__ import annotations

from typing import Any


def owner_reference(owner: dict[str, Any], *, controller: bool = True) -> dict[str, Any]:
    """The reference by which `owner` (with apiVersion and kind) controls another object."""
    metadata = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": controller,
        "blockOwnerDeletion": True,
    }


def controller_of(obj: dict[str, Any]) -> dict[str, Any] | None:
    """The reference to the object's controller, if it has one."""
    references = obj.get("metadata", {}).get("ownerReferences") or []
    return next((reference for reference in references if reference.get("controller")), None)


def is_controlled_by(obj: dict[str, Any], owner: dict[str, Any]) -> bool:
    """Whether `owner` is the object's controller."""
    reference = controller_of(obj)
    return reference is not None and reference["uid"] == owner["metadata"]["uid"]


def labels(obj: dict[str, Any]) -> dict[str, str]:
    """The object's labels; an empty dict (not attached to the object) when it has none."""
    return obj.get("metadata", {}).get("labels") or {}


def key_of(obj: dict[str, Any]) -> tuple[str, str]:
    """(namespace, name); the namespace is empty for cluster-scoped objects."""
    metadata = obj["metadata"]
    return metadata.get("namespace") or "", metadata["name"]


def is_deleting(obj: dict[str, Any]) -> bool:
    """Whether deletion was asked for."""
    return bool(obj.get("metadata", {}).get("deletionTimestamp"))


def condition(obj: dict[str, Any], kind: str) -> dict[str, Any] | None:
    """The status condition of that type."""
    conditions = (obj.get("status") or {}).get("conditions") or []
    return next((item for item in conditions if item.get("type") == kind), None)


def set_condition(obj: dict[str, Any], new: dict[str, Any]) -> bool:
    """Put a condition into the status; keeps lastTransitionTime while `status` stays. True if changed."""
    conditions = obj.setdefault("status", {}).setdefault("conditions", [])
    for position, old in enumerate(conditions):
        if old.get("type") != new["type"]:
            continue
        if old.get("status") == new.get("status") and "lastTransitionTime" in old:
            new = {**new, "lastTransitionTime": old["lastTransitionTime"]}
        conditions[position] = new
        return bool(old != new)
    conditions.append(new)
    return True
