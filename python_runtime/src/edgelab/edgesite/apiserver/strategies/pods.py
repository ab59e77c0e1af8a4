"""Pods: quality of service, what is valid, and what of a running pod can change."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgelab.edgesite.apiserver.strategies import poddefaults
from edgelab.edgesite.apiserver.strategies.pod import qos, status, update
from edgelab.edgesite.apiserver.strategy import Part, Strategy

Obj = dict[str, Any]

GATED = {
    "type": "PodScheduled",
    "status": "False",
    "lastProbeTime": None,
    "lastTransitionTime": None,
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}
TERMS = ("requiredDuringSchedulingIgnoredDuringExecution", "preferredDuringSchedulingIgnoredDuringExecution")


def qos_class(spec: Obj) -> str:
    """Guaranteed, Burstable or BestEffort."""
    return qos.of(spec)


def on_create(pod: Obj) -> None:
    """A new pod is Pending, whatever the client says; label keys become part of its selectors."""
    spec = pod.get("spec") or {}
    pod["status"] = {"phase": "Pending", "qosClass": qos.of(spec)}
    if spec.get("schedulingGates"):
        born = pod["metadata"].get("creationTimestamp")
        pod["status"]["conditions"] = [{**GATED, "lastTransitionTime": born}]
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        spec["terminationGracePeriodSeconds"] = 1
    labels = pod["metadata"].get("labels") or {}
    for term in _terms(spec):
        _merge_keys(term, term.get("matchLabelKeys") or (), "In", labels)
        _merge_keys(term, term.get("mismatchLabelKeys") or (), "NotIn", labels)


def _terms(spec: Obj) -> Iterator[Obj]:
    found = spec.get("affinity") or {}
    for name in ("podAffinity", "podAntiAffinity"):
        for item in (found.get(name) or {}).get(TERMS[1]) or ():
            yield item.get("podAffinityTerm") or {}
        yield from (found.get(name) or {}).get(TERMS[0]) or ()
    yield from spec.get("topologySpreadConstraints") or ()


def _merge_keys(term: Obj, keys: Any, operator: str, labels: Obj) -> None:
    selector: Obj | None = term.get("labelSelector")
    if selector is None:
        return
    for key in keys:
        if key in labels:
            item = {"key": key, "operator": operator, "values": [labels[key]]}
            selector["matchExpressions"] = [*(selector.get("matchExpressions") or []), item]


def on_update(new: Obj, old: Obj) -> None:
    """The status stays."""
    new["status"] = old.get("status") or {}


def _only_ephemeral(new: Obj, old: Obj) -> None:
    """Of an update of `ephemeralcontainers` only these count."""
    wanted = (new.get("spec") or {}).get("ephemeralContainers")
    new["spec"] = {key: value for key, value in old["spec"].items() if key != "ephemeralContainers"}
    if wanted is not None:
        new["spec"]["ephemeralContainers"] = wanted
    _rest(new, old)


def _only_resources(new: Obj, old: Obj) -> None:
    """Of an update of `resize` only the containers' resources count."""
    spec = dict(old["spec"])
    for field in ("containers", "initContainers"):
        wanted = (new.get("spec") or {}).get(field)
        if field in spec and wanted is not None:
            spec[field] = _resized(wanted, spec[field])
    new["spec"] = spec
    _rest(new, old)


def _resized(wanted: list[Obj], present: list[Obj]) -> list[Obj]:
    if len(wanted) != len(present):
        return wanted
    result = []
    for now, was in zip(wanted, present, strict=True):
        if now.get("name") != was.get("name"):
            return wanted
        kept: Obj = {key: value for key, value in was.items() if key not in ("resources", "resizePolicy")}
        taken: Obj = {key: now[key] for key in ("resources", "resizePolicy") if key in now}
        result.append({**kept, **taken})
    return result


def _rest(new: Obj, old: Obj) -> None:
    """Everything but the spec and the version that the client knows is the old pod's."""
    version = new["metadata"].get("resourceVersion")
    managed = new["metadata"].get("managedFields")
    new["metadata"] = dict(old["metadata"])
    if version:
        new["metadata"]["resourceVersion"] = version
    if managed is not None:
        new["metadata"]["managedFields"] = managed
    on_update(new, old)


def status_on_update(new: Obj, old: Obj) -> None:
    """Owners and the class of service are not a matter of the status."""
    metadata = new["metadata"]
    if "ownerReferences" in old["metadata"]:
        metadata["ownerReferences"] = old["metadata"]["ownerReferences"]
    else:
        metadata.pop("ownerReferences", None)
    mine, theirs = new.setdefault("status", {}), old.get("status") or {}
    if not mine.get("qosClass") and theirs.get("qosClass"):
        mine["qosClass"] = theirs["qosClass"]


POD = Strategy(
    default=poddefaults.pod,
    on_create=on_create,
    on_update=on_update,
    validate=update.created,
    validate_update=update.changed,
    parts={
        "status": Part(status_on_update, status.changed),
        "ephemeralcontainers": Part(_only_ephemeral, update.ephemeral_changed),
        "resize": Part(_only_resources, update.resized),
        "binding": Part(),
    },
    keeps_status_on_create=True,
    returns_deleted=True,
)
