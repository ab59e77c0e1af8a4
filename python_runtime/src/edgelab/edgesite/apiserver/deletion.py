"""What a DELETE does: at once, with grace, or when the finalizers allow (`registry/rest/delete.go`)."""

from __future__ import annotations

import datetime as dt
from enum import Enum
from typing import Any

from edgelab.daemon.clock import parse_rfc3339, rfc3339
from edgelab.edgesite.apiserver.kinds import Kind

Obj = dict[str, Any]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
KEEPS_DEPENDENTS = frozenset({("", "ReplicationController"), ("batch", "Job")})
"""Kinds of the first days: what they own stays unless the deletion says otherwise."""


class Deletion(Enum):
    """The outcomes besides a changed object."""

    NOW = "now"
    UNCHANGED = "unchanged"


def plan(kind: Kind, old: Obj, options: Obj, now: dt.datetime) -> Obj | Deletion:
    """NOW, UNCHANGED, or the object as it waits for its end."""
    if kind.name == "CustomResourceDefinition" and not old["metadata"].get("deletionTimestamp"):
        return _definition(old, now)
    new = {**old, "metadata": dict(old["metadata"])}
    metadata = new["metadata"]
    finalizers = _finalizers(kind, metadata.get("finalizers") or [], options)
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)
    grace = _grace(kind, old, options.get("gracePeriodSeconds"))
    held = bool(finalizers) or _is_held(kind, old)
    if not held and grace == 0:
        return Deletion.NOW
    if metadata.get("deletionTimestamp"):
        left = metadata.get("deletionGracePeriodSeconds") or 0
        if grace >= left:
            return new if new != old else Deletion.UNCHANGED
        begun = parse_rfc3339(metadata["deletionTimestamp"]) - dt.timedelta(seconds=left)
        metadata["deletionTimestamp"] = rfc3339(max(begun, now) + dt.timedelta(seconds=grace))
    else:
        metadata["deletionTimestamp"] = rfc3339(now + dt.timedelta(seconds=grace))
        if metadata.get("generation"):
            metadata["generation"] += 1
    metadata["deletionGracePeriodSeconds"] = grace
    if kind.name == "Namespace" and not kind.group:
        del metadata["deletionGracePeriodSeconds"]
        new["status"] = {**(new.get("status") or {}), "phase": "Terminating"}
    return new


def ended(kind: Kind, old: Obj, now: dt.datetime) -> Obj:
    """An object that goes at once, as it is seen last: a pod has had its grace."""
    metadata = old["metadata"]
    if kind.name != "Pod" or kind.group or metadata.get("deletionTimestamp"):
        return old
    last = {**metadata, "deletionTimestamp": rfc3339(now), "deletionGracePeriodSeconds": 0}
    if last.get("generation"):
        last["generation"] += 1
    return {**old, "metadata": last}


def _finalizers(kind: Kind, present: list[str], options: Obj) -> list[str]:
    """Propagation is remembered as a finalizer for the garbage collector."""
    policy = options.get("propagationPolicy")
    if options.get("orphanDependents") is not None and not policy:
        policy = "Orphan" if options["orphanDependents"] else "Background"
    if not policy and (kind.group, kind.name) in KEEPS_DEPENDENTS and not {FOREGROUND, ORPHAN} & {*present}:
        policy = "Orphan"
    if not policy:
        return present
    kept = [item for item in present if item not in (FOREGROUND, ORPHAN)]
    extra = {"Foreground": [FOREGROUND], "Orphan": [ORPHAN]}.get(policy, [])
    return kept + extra


def _is_held(kind: Kind, obj: Obj) -> bool:
    return kind.name == "Namespace" and not kind.group and bool((obj.get("spec") or {}).get("finalizers"))


def _grace(kind: Kind, obj: Obj, asked: int | None) -> int:
    """Seconds a pod has to stop; nothing to stop where none runs."""
    if kind.name != "Pod" or kind.group:
        return 0
    spec = obj.get("spec") or {}
    if not spec.get("nodeName") or (obj.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return 0
    if asked is not None:
        return max(0, asked)
    return int(spec.get("terminationGracePeriodSeconds", 30))


def finished(kind: Kind, obj: Obj) -> bool:
    """Whether an object that is being deleted has nothing left to wait for."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers") or _is_held(kind, obj):
        return False
    return not metadata.get("deletionGracePeriodSeconds")


def _definition(old: Obj, now: dt.datetime) -> Obj:
    """A definition waits until its objects are gone (`registry/customresourcedefinition/etcd.go`)."""
    metadata, stamp = dict(old["metadata"]), rfc3339(now)
    metadata["deletionTimestamp"] = stamp
    metadata["finalizers"] = list(dict.fromkeys([*(metadata.get("finalizers") or ()), CLEANUP]))
    condition = {
        "type": "Terminating",
        "status": "True",
        "lastTransitionTime": stamp,
        "reason": "InstanceDeletionPending",
        "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
    }
    status = old.get("status") or {}
    others = [item for item in status.get("conditions") or () if item["type"] != "Terminating"]
    return {**old, "metadata": metadata, "status": {**status, "conditions": [*others, condition]}}
