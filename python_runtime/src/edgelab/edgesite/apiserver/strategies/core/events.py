"""Events, as core/v1 and as events.k8s.io/v1 (`pkg/apis/core/validation/events.go`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import layouts, objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, bad, immutable, required
from edgelab.edgesite.apiserver.strategies import checks

Obj = dict[str, Any]

NEWER = "events.k8s.io/v1"
LIMITS = {"reportingInstance": 128, "action": 128, "reason": 128, "message": 1024}
NEW_NAMES = {
    "involvedObject": "regarding",
    "message": "note",
    "reportingComponent": "reportingController",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
}
KEPT: tuple[str, ...] = (
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "reason",
)
KEPT += ("type", "eventTime", "action", "related", "reportingComponent", "reportingInstance")


def default(obj: Obj) -> None:
    """Fields of an Event that Go always writes."""
    newer = obj["apiVersion"] == NEWER
    if newer:
        obj.setdefault("deprecatedSource", {})
        for field in ("deprecatedFirstTimestamp", "deprecatedLastTimestamp", "eventTime"):
            obj.setdefault(field, None)
        obj.setdefault("regarding", {})
        return
    obj.setdefault("source", {})
    obj.setdefault("involvedObject", {})
    for field in ("firstTimestamp", "lastTimestamp", "eventTime"):
        obj.setdefault(field, None)
    obj.setdefault("reportingComponent", "")
    obj.setdefault("reportingInstance", "")


def _get(obj: Obj, field: str) -> Any:
    newer = obj["apiVersion"] == NEWER
    return obj.get(NEW_NAMES.get(field, field) if newer else field)


def validate(obj: Obj) -> list[Cause]:
    """ValidateEventCreate."""
    causes = _legacy(obj)
    if obj["apiVersion"] != NEWER:
        return causes
    causes += objectmeta.of_kind(obj, "events.k8s.io", "Event") + _series(obj)
    if not _get(obj, "eventTime"):
        causes.append(required("eventTime"))
    kind = obj.get("type") or ""
    if kind not in ("Normal", "Warning"):
        causes.append(bad("type", "", f"has invalid value: {kind}"))
    for field in ("firstTimestamp", "lastTimestamp", "count"):
        if _get(obj, field):
            causes.append(bad(field, "", "needs to be unset"))
    source = _get(obj, "source") or {}
    if source.get("component") or source.get("host"):
        causes.append(bad("source", "", "needs to be unset"))
    return causes


def _series(obj: Obj) -> list[Cause]:
    series = obj.get("series")
    if series is None:
        return []
    causes = []
    if (series.get("count") or 0) < 2:
        causes.append(bad("series.count", "", "should be at least 2"))
    if not series.get("lastObservedTime"):
        causes.append(required("series.lastObservedTime"))
    return causes


def _legacy(obj: Obj) -> list[Cause]:
    about, own = (
        (_get(obj, "involvedObject") or {}).get("namespace") or "",
        obj["metadata"].get("namespace", ""),
    )
    causes: list[Cause] = []
    if _get(obj, "eventTime"):
        allowed = about or own in ("default", "kube-system")
    else:
        allowed = about == own if about else own in ("", "default")
    if not allowed:
        causes.append(bad("involvedObject.namespace", about, "does not match event.namespace"))
    if _get(obj, "eventTime"):
        causes += _complete(obj)
    return causes + checks.dns_subdomain(own, "namespace")


def _complete(obj: Obj) -> list[Cause]:
    controller = _get(obj, "reportingComponent") or ""
    field = "reportingController" if obj["apiVersion"] == NEWER else "reportingComponent"
    causes = [] if controller else [required(field)]
    causes += checks.label_name(controller, field)
    for name, limit in LIMITS.items():
        value = _get(obj, name) or ""
        if not value and name != "message":
            causes.append(required(name))
        if len(value.encode()) > limit:
            causes.append(bad(name, "", f"can have at most {limit} characters"))
    return causes


def changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidateEventUpdate."""
    causes = _legacy(new)
    if new["apiVersion"] != NEWER:
        return causes
    causes += objectmeta.changed(new, old)
    if new.get("series") != old.get("series"):
        causes += _series(new)
    for field in KEPT:
        mine, theirs = _get(new, field), _get(old, field)
        if not checks.semantic(mine or None, theirs or None):
            kind = {"involvedObject": "core.ObjectReference", "related": "*core.ObjectReference"}.get(field)
            name = "reportingController" if field == "reportingComponent" else field
            causes.append(immutable(name, layouts.shown(kind, mine) if kind else mine or ""))
    return causes
