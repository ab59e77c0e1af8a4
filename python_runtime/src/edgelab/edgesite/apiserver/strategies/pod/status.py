"""The status of a pod (`pkg/apis/core/validation`: ValidatePodStatusUpdate)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import layouts, objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, bad, forbidden
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.pod import podannotations

Obj = dict[str, Any]

SYSTEM_CONDITIONS = ("PodScheduled", "Ready", "Initialized")
STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
NO_WAY_BACK = "may not be transitioned to non-terminated state"


def changed(new: Obj, old: Obj) -> list[Cause]:
    """What is wrong with a new status."""
    mine, theirs = new.get("status") or {}, old.get("status") or {}
    causes = objectmeta.changed(new, old) + podannotations.changes(new, old, "metadata.annotations")
    for position, condition in enumerate(mine.get("conditions") or ()):
        field = f"status.conditions[{position}]"
        if (condition.get("observedGeneration") or 0) < 0:
            text = "must be a non-negative integer"
            causes.append(bad(f"{field}.observedGeneration", condition["observedGeneration"], text))
        if condition.get("type") not in SYSTEM_CONDITIONS:
            causes += checks.label_name(condition.get("type") or "", f"{field}.Type")
    nominated = mine.get("nominatedNodeName") or ""
    if nominated and nominated != theirs.get("nominatedNodeName"):
        causes += checks.dns_subdomain(nominated, "status.nominatedNodeName")
    if (mine.get("observedGeneration") or 0) < 0:
        text = "must be a non-negative integer"
        causes.append(bad("status.observedGeneration", mine["observedGeneration"], text))
    if mine.get("qosClass") != theirs.get("qosClass"):
        causes.append(bad("status.qosClass", mine.get("qosClass") or "", "field is immutable"))
    spec = old.get("spec") or {}
    sidecars = {c.get("name") for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    for field in STATUSES:
        causes += _transitions(mine.get(field) or [], theirs.get(field) or [], field, spec, sidecars)
    return causes + _addresses(mine, theirs)


def _transitions(
    mine: list[Obj], theirs: list[Obj], field: str, spec: Obj, sidecars: set[str | None]
) -> list[Cause]:
    policy = "Never" if field == "ephemeralContainerStatuses" else spec.get("restartPolicy")
    if policy == "Always":
        return []
    ended = {s.get("name"): (s.get("state") or {}).get("terminated") for s in theirs}
    present = {s.get("name"): (s.get("state") or {}).get("terminated") for s in mine}
    causes: list[Cause] = []
    for position, (name, was) in enumerate(ended.items()):
        restarts = field == "initContainerStatuses" and name in sidecars
        if was is None or name not in present or present[name] is not None or restarts:
            continue
        if not (was.get("exitCode") and policy == "OnFailure"):
            causes.append(forbidden(f"status.{field}[{position}].state", NO_WAY_BACK))
    return causes


def _addresses(mine: Obj, theirs: Obj) -> list[Cause]:
    causes: list[Cause] = []
    for field, kind in (("podIPs", "core.PodIP"), ("hostIPs", "core.HostIP")):
        found = [item.get("ip") or "" for item in mine.get(field) or ()]
        if field == "hostIPs" and found and mine.get("hostIP") != found[0]:
            causes.append(bad("status.hostIPs[0].ip", found[0], "must be equal to `hostIP`"))
        known = [item.get("ip") for item in theirs.get(field) or ()]
        for position, address in enumerate(found):
            causes += [] if address in known else checks.ip(address, f"status.{field}[{position}]")
        families = {parsed.version for parsed in map(checks.parse_ip, found) if parsed is not None}
        if len(found) > 1 and (len(families) < 2 or len(found) > 2):
            text = "may specify no more than one IP for each IP family"
            causes.append(bad(f"status.{field}", layouts.shown(f"[]{kind}", mine[field]), text))
    return causes
