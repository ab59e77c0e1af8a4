"""The status of workloads: numbers that fit together (`pkg/apis/apps/validation`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, bad
from edgelab.edgesite.apiserver.strategies import checks

Obj = dict[str, Any]

TOO_MANY = "cannot be greater than status.replicas"


def _numbers(status: Obj, *fields: str) -> list[Cause]:
    causes: list[Cause] = []
    for field in fields:
        causes += checks.nonnegative(status.get(field), f"status.{field}")
    return causes


def _within(status: Obj, *fields: str, ready: str = "readyReplicas") -> list[Cause]:
    causes: list[Cause] = []
    for field in fields:
        if (status.get(field) or 0) > (status.get("replicas") or 0):
            causes.append(bad(f"status.{field}", status[field], TOO_MANY))
    available = status.get("availableReplicas") or 0
    if available > (status.get("readyReplicas") or 0):
        causes.append(bad("status.availableReplicas", available, f"cannot be greater than {ready}"))
    return causes


def _collisions(new: Obj, old: Obj) -> list[Cause]:
    mine, theirs = (obj.get("status", {}).get("collisionCount") for obj in (new, old))
    if theirs is None or (mine is not None and mine >= theirs):
        return []
    return [bad("status.collisionCount", mine or 0, "cannot be decremented")]


def deployment(new: Obj, old: Obj) -> list[Cause]:
    """ValidateDeploymentStatusUpdate."""
    status, causes = new.get("status") or {}, objectmeta.changed(new, old)
    fields = ("observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    causes += _numbers(status, *fields, "unavailableReplicas", "terminatingReplicas", "collisionCount")
    causes += _within(status, "updatedReplicas", "readyReplicas", "availableReplicas")
    return causes + _collisions(new, old)


def replica_set(new: Obj, old: Obj) -> list[Cause]:
    """ValidateReplicaSetStatusUpdate."""
    status, causes = new.get("status") or {}, objectmeta.changed(new, old)
    fields = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "observedGeneration")
    causes += _numbers(status, *fields, "terminatingReplicas")
    return causes + _within(status, "fullyLabeledReplicas", "readyReplicas", "availableReplicas")


controller = replica_set


def daemon_set(new: Obj, old: Obj) -> list[Cause]:
    """ValidateDaemonSetStatusUpdate."""
    status, causes = new.get("status") or {}, objectmeta.changed(new, old)
    fields = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
    more = ("observedGeneration", "updatedNumberScheduled", "numberAvailable", "numberUnavailable")
    return causes + _numbers(status, *fields, *more, "collisionCount") + _collisions(new, old)


def stateful_set(new: Obj, old: Obj) -> list[Cause]:
    """ValidateStatefulSetStatusUpdate; the metadata come last."""
    status = new.get("status") or {}
    fields = ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    causes = _numbers(status, *fields, "observedGeneration", "collisionCount")
    causes += _within(status, *fields[1:], ready="status.readyReplicas")
    return causes + objectmeta.changed(new, old) + _collisions(new, old)
