"""What of a pod can change, and how (`pkg/apis/core/validation`: ValidatePodUpdate and its kin)."""

from __future__ import annotations

import copy
from typing import Any

from edgelab.edgesite.apiserver import layouts, objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, bad, forbidden, quote, required
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.pod import affinity, containers, podannotations, qos, spec

Obj = dict[str, Any]

CHANGEABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n"
)
NODE_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def metadata_and_spec(pod: Obj) -> list[Cause]:
    """validatePodMetadataAndSpec, without the metadata that all kinds have."""
    metadata, inner = pod["metadata"], pod.get("spec") or {}
    causes = podannotations.of_pod(metadata.get("annotations"), inner, "metadata.annotations")
    causes += spec.validate(inner, "spec", metadata)
    if not inner.get("serviceAccountName"):
        causes += _tokens(inner)
    for field in ("containers", "initContainers"):
        for position, container in enumerate(inner.get(field) or ()):
            causes += containers.padded_image(container, f"spec.{field}[{position}]")
    return causes


def _tokens(inner: Obj) -> list[Cause]:
    text = "must not be specified when serviceAccountName is not set"
    return [
        forbidden(f"spec.volumes[{position}].projected.sources[{number}].serviceAccountToken", text)
        for position, volume in enumerate(inner.get("volumes") or ())
        for number, source in enumerate((volume.get("projected") or {}).get("sources") or ())
        if "serviceAccountToken" in source
    ]


def created(pod: Obj) -> list[Cause]:
    """ValidatePodCreate."""
    inner = pod.get("spec") or {}
    causes = metadata_and_spec(pod)
    if inner.get("ephemeralContainers"):
        causes.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if inner.get("nodeName") and inner.get("schedulingGates"):
        text = "cannot be set until all schedulingGates have been cleared"
        causes.append(forbidden("spec.nodeName", text))
    return causes + podannotations.match_fields(pod["metadata"], inner, "spec")


def changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidatePodUpdate."""
    causes = objectmeta.changed(new, old) + objectmeta.of_kind(new, "", "Pod") + metadata_and_spec(new)
    causes += podannotations.changes(new, old, "metadata.annotations")
    mine, theirs = new.get("spec") or {}, old.get("spec") or {}
    for field in ("containers", "initContainers"):
        if len(mine.get(field) or ()) != len(theirs.get(field) or ()):
            text = "pod updates may not add or remove containers"
            return [*causes, forbidden(f"spec.{field}", text)]
        for position, container in enumerate(mine.get(field) or ()):
            where = f"spec.{field}[{position}]"
            causes += [] if container.get("image") else [required(f"{where}.image")]
            causes += containers.padded_image(container, where)
    problems, stop = _deadline(mine, theirs)
    causes += problems
    if stop:
        return causes
    causes += _tolerations(mine, theirs) + _gates(mine, theirs)
    return causes if checks.semantic(mine, theirs) else causes + _rest(mine, theirs)


def _deadline(mine: Obj, theirs: Obj) -> tuple[list[Cause], bool]:
    new, old, field = (
        mine.get("activeDeadlineSeconds"),
        theirs.get("activeDeadlineSeconds"),
        "spec.activeDeadlineSeconds",
    )
    if new is None:
        text = "must not update from a positive integer to nil value"
        return ([bad(field, None, text)] if old is not None else []), False
    if not 0 <= new <= checks.MAX_INT32:
        return [bad(field, new, "must be between 0 and 2147483647, inclusive")], True
    if old is not None and old < new:
        return [bad(field, new, "must be less than or equal to previous value")], True
    return [], False


def _tolerations(mine: Obj, theirs: Obj) -> list[Cause]:
    def kept(item: Obj) -> Obj:
        return {key: value for key, value in item.items() if key != "tolerationSeconds"}

    found = mine.get("tolerations") or []
    present = [kept(item) for item in found]
    if any(kept(item) not in present for item in theirs.get("tolerations") or ()):
        text = "existing toleration can not be modified except its tolerationSeconds"
        return [forbidden("spec.tolerations", text)]
    return affinity.tolerations(found, "spec.tolerations")


def _gates(mine: Obj, theirs: Obj) -> list[Cause]:
    old = {gate.get("name") for gate in theirs.get("schedulingGates") or ()}
    return [
        forbidden(
            f"spec.schedulingGates[{position}].name",
            f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'",
        )
        for position, gate in enumerate(mine.get("schedulingGates") or ())
        if gate.get("name") not in old
    ]


def _rest(mine: Obj, theirs: Obj) -> list[Cause]:
    munged = copy.deepcopy(mine)
    for field in ("containers", "initContainers"):
        for container, before in zip(munged.get(field) or (), theirs.get(field) or (), strict=True):
            container["image"] = before.get("image")
    for field in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        _take(munged, theirs, field)
    grace = theirs.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0 and munged.get("terminationGracePeriodSeconds") == 1:
        munged["terminationGracePeriodSeconds"] = grace
    causes = _gated(munged, theirs) if theirs.get("schedulingGates") else []
    if not checks.semantic(munged, theirs):
        text = CHANGEABLE + layouts.difference("core.PodSpec", theirs, munged)
        causes.append(forbidden("spec", text))
    return causes


def _take(munged: Obj, theirs: Obj, field: str) -> None:
    if field in theirs:
        munged[field] = theirs[field]
    else:
        munged.pop(field, None)


def _gated(munged: Obj, theirs: Obj) -> list[Cause]:
    causes: list[Cause] = []
    old, new = theirs.get("nodeSelector") or {}, munged.get("nodeSelector") or {}
    if any(new.get(key) != value for key, value in old.items()):
        text = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        shown = munged.get("nodeSelector")
        causes.append(bad("spec.nodeSelector", shown, text))
    _take(munged, theirs, "nodeSelector")
    before = (theirs.get("affinity") or {}).get("nodeAffinity")
    after = (munged.get("affinity") or {}).get("nodeAffinity")
    if checks.semantic(before, after):
        return causes
    causes += _node_affinity(after, before)
    if before is not None:
        munged.setdefault("affinity", {})["nodeAffinity"] = before
    else:
        munged["affinity"].pop("nodeAffinity")
        if not munged["affinity"] and "affinity" not in theirs:
            munged.pop("affinity")
    return causes


def _node_affinity(new: Obj | None, old: Obj | None) -> list[Cause]:
    before = ((old or {}).get(NODE_REQUIRED) or {}).get("nodeSelectorTerms") or []
    after = ((new or {}).get(NODE_REQUIRED) or {}).get("nodeSelectorTerms") or []
    field = f"spec.affinity.nodeAffinity.{NODE_REQUIRED}.nodeSelectorTerms"
    if before and len(before) != len(after):
        shown = layouts.shown("[]core.NodeSelectorTerm", after or None)
        text = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        return [bad(field, shown, text)]
    causes: list[Cause] = []
    for position, (was, now) in enumerate(zip(before, after, strict=False)):
        if not _only_added(now, was):
            shown = layouts.shown("core.NodeSelectorTerm", now)
            text = "only additions are allowed (no mutations or deletions)"
            causes.append(bad(f"{field}[{position}]", shown, text))
    return causes


def _only_added(new: Obj, old: Obj) -> bool:
    kinds = ("matchExpressions", "matchFields")
    if not any(old.get(kind) for kind in kinds):
        return not any(new.get(kind) for kind in kinds)
    return all((new.get(kind) or [])[: len(old.get(kind) or ())] == (old.get(kind) or []) for kind in kinds)


def ephemeral_changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidatePodEphemeralContainersUpdate."""
    if podannotations.MIRROR in (old["metadata"].get("annotations") or {}):
        return [forbidden("", "static pods do not support ephemeral containers")]
    causes = objectmeta.changed(new, old) + objectmeta.of_kind(new, "", "Pod") + metadata_and_spec(new)
    causes += podannotations.changes(new, old, "metadata.annotations")
    field = "spec.ephemeralContainers"
    found = {item.get("name"): item for item in (new.get("spec") or {}).get("ephemeralContainers") or ()}
    for item in (old.get("spec") or {}).get("ephemeralContainers") or ():
        name, now = item.get("name") or "", found.get(item.get("name"))
        if now is None:
            text = f"existing ephemeral containers {quote(name)} may not be removed\n"
            causes.append(forbidden(field, text))
        elif not checks.semantic(now, item):
            text = f"existing ephemeral containers {quote(name)} may not be changed\n"
            causes.append(forbidden(field, text + layouts.difference("core.EphemeralContainer", item, now)))
    return causes


def resized(new: Obj, old: Obj) -> list[Cause]:
    """ValidatePodResize."""
    mine, theirs = new.get("spec") or {}, old.get("spec") or {}
    if any((inner.get("resources") or {}).get(f) for inner in (mine, theirs) for f in ("requests", "limits")):
        return [forbidden("", "pods with pod-level resources cannot be resized")]
    if podannotations.MIRROR in (old["metadata"].get("annotations") or {}):
        return [forbidden("", "static pods cannot be resized")]
    if (theirs.get("os") or {}).get("name") == "windows":
        return [forbidden("", "windows pods cannot be resized")]
    causes = objectmeta.changed(new, old) + objectmeta.of_kind(new, "", "Pod") + metadata_and_spec(new)
    status = old.get("status") or {}
    if (status.get("qosClass") or qos.of(theirs)) != qos.of(mine):
        text = "Pod QOS Class may not change as a result of resizing"
        causes.append(bad("spec", (new.get("status") or {}).get("qosClass") or "", text))
    running = [s for s in status.get("containerStatuses") or () if "running" in (s.get("state") or {})]
    if running and "resources" not in running[0]:
        causes.append(forbidden("spec", "Pod running on node without support for resize"))
    misplaced = _order(mine, theirs)
    if misplaced:
        return causes + misplaced
    for field in ("initContainers", "containers"):
        for position, (now, was) in enumerate(
            zip(mine.get(field) or (), theirs.get(field) or (), strict=True)
        ):
            if field == "containers" or was.get("restartPolicy") == "Always":
                causes += _removed(now, was, f"spec.{field}[{position}].resources")
    causes += _only_compute(mine, theirs)
    return causes


def _order(mine: Obj, theirs: Obj) -> list[Cause]:
    causes: list[Cause] = []
    for field in ("containers", "initContainers"):
        new, old = mine.get(field) or [], theirs.get(field) or []
        if len(new) != len(old):
            causes.append(forbidden(f"spec.{field}", f"{field} may not be added or removed on resize"))
            continue
        for position, (now, was) in enumerate(zip(new, old, strict=True)):
            if now.get("name") != was.get("name"):
                text = f"{field} may not be renamed or reordered on resize"
                causes.append(forbidden(f"spec.{field}[{position}].name", text))
    return causes


def _removed(now: Obj, was: Obj, path: str) -> list[Cause]:
    new, old = now.get("resources") or {}, was.get("resources") or {}
    return [
        forbidden(f"{path}.{field}", f"resource {field} cannot be removed")
        for field in ("requests", "limits")
        if (old.get(field) or {}).keys() - (new.get(field) or {}).keys()
    ]


def _only_compute(mine: Obj, theirs: Obj) -> list[Cause]:
    causes: list[Cause] = []
    for now, was in zip(mine.get("containers") or (), theirs.get("containers") or (), strict=True):
        if not checks.semantic(_without_compute(now, was), was):
            causes.append(forbidden("spec", "only cpu and memory resources are mutable"))
    for now, was in zip(mine.get("initContainers") or (), theirs.get("initContainers") or (), strict=True):
        sidecar = now.get("restartPolicy") == "Always"
        if not checks.semantic(_without_compute(now, was) if sidecar else now, was):
            text = "resources for non-sidecar init containers are immutable"
            if sidecar:
                text = "only cpu and memory resources for sidecar containers are mutable"
            causes.append(forbidden("spec", text))
    return causes


def _without_compute(now: Obj, was: Obj) -> Obj:
    new, old = now.get("resources") or {}, was.get("resources") or {}
    kept: Obj = {}
    for field in ("limits", "requests"):
        if field in old:
            other = {k: v for k, v in (new.get(field) or {}).items() if k not in ("cpu", "memory")}
            kept[field] = other | {k: v for k, v in old[field].items() if k in ("cpu", "memory")}
    return {**now, "resources": kept}
