"""PersistentVolumeClaims."""

from __future__ import annotations

import copy
from typing import Any

from edgelab.edgesite.apiserver import layouts, objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, bad, forbidden, required, unsupported
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategy import Part, Strategy
from edgelab.objects import quantity

Obj = dict[str, Any]

ACCESS_MODES = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"]
SOURCES = (("", "PersistentVolumeClaim"), ("snapshot.storage.k8s.io", "VolumeSnapshot"))
VOLUME_MODES = ["Block", "Filesystem"]
OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
IMMUTABLE = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound"
    " claims\n"
)
RESIZE_STATES = ["ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress"]
RESIZE_STATES += ["NodeResizeInfeasible", "NodeResizePending"]


def default(obj: Obj) -> None:
    """Filesystem; the two ways to name a source agree."""
    spec = obj.setdefault("spec", {})
    spec_default(spec)


def spec_default(spec: Obj) -> None:
    """Defaults of a claim's spec, also in templates."""
    spec.setdefault("volumeMode", "Filesystem")


def normalize(spec: Obj) -> None:
    """dataSource and dataSourceRef say the same (`pkg/api/persistentvolumeclaim`)."""
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None:
        spec["dataSourceRef"] = dict(source)
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = {key: value for key, value in reference.items() if key != "namespace"}


def access_modes(modes: list[str], path: str) -> list[Cause]:
    """ReadWriteOnce and its like."""
    causes = [unsupported(path, mode, ACCESS_MODES) for mode in modes if mode not in ACCESS_MODES]
    known = [mode for mode in modes if mode in ACCESS_MODES]
    if "ReadWriteOncePod" in known and len(set(known)) > 1:
        causes.append(forbidden(path, "may not use ReadWriteOncePod with other access modes"))
    return causes


def spec(found: Obj, path: str) -> list[Cause]:
    """ValidatePersistentVolumeClaimSpec."""
    modes, causes = found.get("accessModes") or [], []
    if not modes:
        causes.append(required(f"{path}.accessModes", "at least 1 access mode is required"))
    causes += checks.label_selector(found.get("selector"), f"{path}.selector")
    causes += access_modes(modes, f"{path}.accessModes")
    storage = ((found.get("resources") or {}).get("requests") or {}).get("storage")
    field = f"{path}.resources[storage]"
    if storage is None:
        causes.append(required(field))
    elif quantity.parse(storage) <= 0:
        causes.append(bad(field, storage, checks.NOT_POSITIVE))
    if found.get("storageClassName"):
        causes += checks.dns_subdomain(found["storageClassName"], f"{path}.storageClassName")
    mode = found.get("volumeMode")
    if mode is not None and mode not in VOLUME_MODES:
        causes.append(unsupported(f"{path}.volumeMode", mode, VOLUME_MODES))
    for name in ("dataSource", "dataSourceRef"):
        if name in found:
            causes += _source(found[name], f"{path}.{name}")
    causes += _sources(found, path)
    if found.get("volumeAttributesClassName"):
        name = found["volumeAttributesClassName"]
        causes += checks.dns_subdomain(name, f"{path}.volumeAttributesClassName")
    return causes


def _source(source: Obj, path: str) -> list[Cause]:
    causes = [required(f"{path}.{name}") for name in ("name", "kind") if not source.get(name)]
    group, kind = source.get("apiGroup") or "", source.get("kind") or ""
    if not group and kind != "PersistentVolumeClaim":
        text = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        causes.append(bad(path, kind, text))
    causes += checks.dns_subdomain(group, f"{path}.apiGroup") if group else []
    namespace = source.get("namespace") or ""
    return causes + (checks.dns_label(namespace, f"{path}.namespace") if namespace else [])


def _sources(found: Obj, path: str) -> list[Cause]:
    source, reference = found.get("dataSource"), found.get("dataSourceRef")
    if source is None or reference is None:
        return []
    if reference.get("namespace"):
        text = "may not be specified when dataSourceRef.namespace is specified"
        return [bad(path, {}, text)]
    same = all(source.get(key) == reference.get(key) for key in ("apiGroup", "kind", "name"))
    return [] if same else [bad(path, {}, "must match dataSourceRef")]


def validate(obj: Obj) -> list[Cause]:
    """What is wrong with a claim."""
    return spec(obj.get("spec") or {}, "spec")


def on_create(obj: Obj) -> None:
    """Claims start Pending; what is no claim and no snapshot is no source (without a populator)."""
    source, reference = obj["spec"].get("dataSource"), obj["spec"].get("dataSourceRef")
    if source is not None and (source.get("apiGroup") or "", source.get("kind")) not in SOURCES:
        del obj["spec"]["dataSource"]
    if reference is not None and reference.get("namespace"):
        del obj["spec"]["dataSourceRef"]
    normalize(obj["spec"])
    obj["status"] = {"phase": "Pending"}


def on_update(new: Obj, old: Obj) -> None:
    """The status stays."""
    normalize(new["spec"])


def changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidatePersistentVolumeClaimUpdate."""
    causes = objectmeta.changed(new, old)
    causes += objectmeta.of_kind(new, "", "PersistentVolumeClaim") + validate(new)
    mine, theirs = copy.deepcopy(new["spec"]), copy.deepcopy(old["spec"])
    if not theirs.get("volumeName"):
        _take(theirs, mine, "volumeName")
    causes += _class(new, old, mine, theirs)
    bound = (new.get("status") or {}).get("phase") == "Bound"
    size, before = _storage(new["spec"]), _storage(old["spec"])
    if bound and (mine.get("resources") or {}).get("requests") is not None:
        mine["resources"]["requests"]["storage"] = before
    if bound:
        _take(mine, theirs, "volumeAttributesClassName")
    if not checks.semantic(mine, theirs):
        text = IMMUTABLE + layouts.difference("core.PersistentVolumeClaimSpec", theirs, mine)
        causes.append(forbidden("spec", text))
    if quantity.parse(size) < quantity.parse(before):
        capacity = ((old.get("status") or {}).get("capacity") or {}).get("storage", "0")
        if quantity.parse(size) <= quantity.parse(capacity):
            text = "field can not be less than status.capacity"
            causes.append(forbidden("spec.resources.requests.storage", text))
    return causes + checks.unchanged(
        new["spec"].get("volumeMode"), old["spec"].get("volumeMode"), "volumeMode"
    )


def _storage(found: Obj) -> str:
    return str(((found.get("resources") or {}).get("requests") or {}).get("storage", "0"))


def _take(to: Obj, source: Obj, field: str) -> None:
    if field in source:
        to[field] = source[field]
    else:
        to.pop(field, None)


def _class(new: Obj, old: Obj, mine: Obj, theirs: Obj) -> list[Cause]:
    """The class may be filled in when it was only an annotation, or nothing."""
    was = (old["metadata"].get("annotations") or {}).get(OLD_CLASS)
    now = (new["metadata"].get("annotations") or {}).get(OLD_CLASS)
    name, before = mine.get("storageClassName"), theirs.get("storageClassName")
    if was is not None and before is None and name == was and now in (None, was):
        mine.pop("storageClassName")
        return []
    if name is not None and before is None and was in (None, name):
        mine.pop("storageClassName")
    return checks.unchanged(now or "", was or "", f"metadata.annotations.{OLD_CLASS}")


def status_changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidatePersistentVolumeClaimStatusUpdate."""
    status, causes = new.get("status") or {}, objectmeta.changed(new, old)
    for name, value in (status.get("capacity") or {}).items():
        if quantity.parse(value) < 0:
            text = "must be a valid resource quantity"
            causes.append(bad(f"status.capacity[{name}]", quantity.whole(value), text))
    for name, state in (status.get("allocatedResourceStatuses") or {}).items():
        field = "status.allocatedResourceStatuses"
        causes += _key(name, field)
        if state not in RESIZE_STATES:
            causes.append(unsupported(field, name, sorted(RESIZE_STATES)))
    for name in status.get("allocatedResources") or {}:
        causes += _key(name, "status.allocatedResources")
    return causes


def _key(name: str, path: str) -> list[Cause]:
    causes = checks.label_name(name, path)
    if not causes and "/" not in name and name != "storage":
        causes.append(unsupported(path, name, ["storage"]))
    return causes


CLAIM = Strategy(
    default=default,
    on_create=on_create,
    on_update=on_update,
    validate=validate,
    validate_update=changed,
    parts={"status": Part(validate=status_changed)},
    keeps_status_on_create=True,
    returns_deleted=True,
    has_generation=False,
)
