"""Storage classes, attachments and CSI (`pkg/apis/storage`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import layouts, objectmeta
from edgelab.edgesite.apiserver.invalid import (
    Cause,
    bad,
    duplicate,
    forbidden,
    immutable,
    required,
    too_long,
    unsupported,
)
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.core import persistent
from edgelab.edgesite.apiserver.strategy import Part, Strategy
from edgelab.objects import quantity

Obj = dict[str, Any]

GROUP = "storage.k8s.io"
MAX_PARAMETERS = 512
MAX_BYTES = 256 << 10
MAX_NODE_ID = 256
RECLAIM = ["Delete", "Retain"]
BINDING = ["Immediate", "WaitForFirstConsumer"]
FS_GROUP = ["File", "None", "ReadWriteOnceWithFSType"]
LIFECYCLES = ["Persistent", "Ephemeral"]


def class_default(obj: Obj) -> None:
    """Defaults of a StorageClass."""
    obj.setdefault("reclaimPolicy", "Delete")
    obj.setdefault("volumeBindingMode", "Immediate")


def _provisioner(name: str, path: str) -> list[Cause]:
    return checks.label_name(name.lower(), path) if name else [required(path)]


def _parameters(found: Obj, *, needed: bool = False) -> list[Cause]:
    if len(found) > MAX_PARAMETERS:
        return [too_long("parameters", MAX_PARAMETERS)]
    causes = [bad("parameters", key, "field can not be empty.") for key in found if not key]
    if sum(len(key.encode()) + len(value.encode()) for key, value in found.items()) > MAX_BYTES:
        causes.append(too_long("parameters", MAX_BYTES))
    if needed and not found:
        causes.append(required("parameters", "must contain at least one key/value pair"))
    return causes


def storage_class(obj: Obj) -> list[Cause]:
    """ValidateStorageClass."""
    causes = _provisioner(obj.get("provisioner") or "", "provisioner")
    causes += _parameters(obj.get("parameters") or {})
    policy, mode = obj.get("reclaimPolicy"), obj.get("volumeBindingMode")
    if policy and policy not in RECLAIM:
        causes.append(unsupported("reclaimPolicy", policy, RECLAIM))
    if mode not in BINDING:
        causes.append(unsupported("volumeBindingMode", mode, BINDING))
    return causes + _topologies(obj.get("allowedTopologies") or [])


def _topologies(terms: list[Obj]) -> list[Cause]:
    causes: list[Cause] = []
    seen: list[dict[str, set[str]]] = []
    for position, term in enumerate(terms):
        field, found = f"allowedTopologies[{position}].matchLabelExpressions", {}
        for number, item in enumerate(term.get("matchLabelExpressions") or ()):
            key, values = item.get("key") or "", item.get("values") or []
            where = f"{field}[{number}]"
            causes += [] if values else [required(f"{where}.values")]
            causes += checks.unique(values, f"{where}.values") + checks.label_name(key, f"{where}.key")
            if key in found:
                causes.append(duplicate(f"{where}.key", key))
            found[key] = set(values)
        causes += [duplicate(field, "") for other in seen if other == found]
        seen.append(found)
    return causes


def class_changed(new: Obj, old: Obj) -> list[Cause]:
    """A class keeps what it provisions."""
    causes = objectmeta.of_kind(new, GROUP, "StorageClass") + storage_class(new)
    causes += objectmeta.changed(new, old)
    for field in ("parameters", "provisioner", "reclaimPolicy"):
        if (new.get(field) or {}) != (old.get(field) or {}):
            causes.append(forbidden(field, f"updates to {field} are forbidden."))
    mode = new.get("volumeBindingMode")
    return causes + checks.unchanged(mode, old.get("volumeBindingMode"), "volumeBindingMode")


def _attachment(obj: Obj) -> list[Cause]:
    spec = obj.get("spec") or {}
    source, causes = spec.get("source") or {}, []
    if not spec.get("attacher"):
        causes.append(required("spec.attacher"))
    name, inline, field = source.get("persistentVolumeName"), source.get("inlineVolumeSpec"), "spec.source"
    one = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if inline is None and name is None:
        causes.append(required(field, one))
    elif inline is not None and name is not None:
        causes.append(forbidden(field, one))
    elif name == "":
        text = "must specify non empty persistentVolumeName"
        causes.append(required(f"{field}.persistentVolumeName", text))
    elif inline is not None:
        causes += persistent.spec(inline, f"{field}.inlineVolumeSpec", "", inline=True)
    return causes + checks.dns_subdomain(spec.get("nodeName") or "", "spec.nodeName") + _errors(obj)


def _errors(obj: Obj) -> list[Cause]:
    causes: list[Cause] = []
    for field in ("attachError", "detachError"):
        if len(((obj.get("status") or {}).get(field) or {}).get("message") or "") > 1024:
            causes.append(too_long(f"status.{field}.message", MAX_BYTES))
    return causes


def attachment(obj: Obj) -> list[Cause]:
    """ValidateVolumeAttachment and what v1 adds."""
    spec = obj.get("spec") or {}
    causes = _attachment(obj) + checks.csi_driver_name(spec.get("attacher") or "", "spec.attacher")
    name = (spec.get("source") or {}).get("persistentVolumeName")
    if name is not None:
        causes += checks.dns_subdomain(name, "spec.source.persistentVolumeName")
    return causes


def attachment_changed(new: Obj, old: Obj) -> list[Cause]:
    """The spec of an attachment stays."""
    causes = objectmeta.of_kind(new, GROUP, "VolumeAttachment") + _attachment(new)
    return causes + checks.unchanged(new.get("spec"), old.get("spec"), "spec", "storage.VolumeAttachmentSpec")


def csi_node_default(obj: Obj) -> None:
    """`drivers` is always written; without any it is null."""
    spec = obj.setdefault("spec", {})
    spec["drivers"] = spec.get("drivers") or None


def csi_node(obj: Obj) -> list[Cause]:
    """ValidateCSINode."""
    causes: list[Cause] = []
    seen: set[str] = set()
    for position, driver in enumerate((obj.get("spec") or {}).get("drivers") or ()):
        field, name, node = f"spec.drivers[{position}]", driver.get("name") or "", driver.get("nodeID") or ""
        causes += checks.csi_driver_name(name, f"{field}.name")
        causes += [] if node else [required(f"{field}.nodeID")]
        if len(node) > MAX_NODE_ID:
            causes.append(bad(f"{field}.nodeID", node, f"must be {MAX_NODE_ID} characters or less"))
        count = (driver.get("allocatable") or {}).get("count")
        causes += checks.nonnegative(count, f"{field}.allocatable.count")
        if name in seen:
            causes.append(duplicate(f"{field}.name", name))
        seen.add(name)
        keys: set[str] = set()
        for key in driver.get("topologyKeys") or ():
            causes += [] if key else [required(field)]
            causes += [duplicate(field, key)] if key in keys else []
            keys.add(key)
            causes += checks.label_name(key, field)
    return causes


def csi_node_changed(new: Obj, old: Obj) -> list[Cause]:
    """A driver of a node stays as it is."""
    causes = 2 * (objectmeta.of_kind(new, GROUP, "CSINode") + csi_node(new))
    present = {driver.get("name"): driver for driver in (new.get("spec") or {}).get("drivers") or ()}
    for was in (old.get("spec") or {}).get("drivers") or ():
        now = present.get(was.get("name"))
        if now is not None:
            causes += checks.unchanged(now, was, "spec.drivers", "storage.CSINodeDriver")
    return causes


def csi_driver_default(obj: Obj) -> None:
    """Defaults of a CSIDriver."""
    spec = obj.setdefault("spec", {})
    for field, value in (
        ("attachRequired", True),
        ("podInfoOnMount", False),
        ("storageCapacity", False),
        ("fsGroupPolicy", "ReadWriteOnceWithFSType"),
        ("requiresRepublish", False),
        ("seLinuxMount", False),
    ):
        spec.setdefault(field, value)
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def csi_driver(obj: Obj) -> list[Cause]:
    """ValidateCSIDriver."""
    spec, causes = obj.get("spec") or {}, []
    policy = spec.get("fsGroupPolicy")
    if policy is not None and policy not in FS_GROUP:
        causes.append(unsupported("spec.fsGroupPolicy", policy, FS_GROUP))
    seen: set[str] = set()
    for position, request in enumerate(spec.get("tokenRequests") or ()):
        field, audience = f"spec.tokenRequests[{position}]", request.get("audience") or ""
        if audience in seen:
            causes.append(duplicate(f"{field}.audience", audience))
            continue
        seen.add(audience)
        seconds, where = request.get("expirationSeconds"), f"{field}.expirationSeconds"
        if seconds is not None and seconds < 600:
            causes.append(bad(where, seconds, "may not specify a duration less than 10 minutes"))
        if seconds is not None and seconds > 1 << 32:
            causes.append(bad(where, seconds, "may not specify a duration larger than 2^32 seconds"))
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in LIFECYCLES:
            causes.append(unsupported("spec.volumeLifecycleModes", mode, LIFECYCLES))
    period = spec.get("nodeAllocatableUpdatePeriodSeconds")
    if period is not None and period < 10:
        text = "must be greater than or equal to 10 seconds"
        causes.append(bad("spec.nodeAllocatableUpdatePeriodSeconds", period, text))
    return causes


def csi_driver_default_of_gate(obj: Obj) -> None:
    """Alpha fields are dropped."""
    obj.setdefault("spec", {}).pop("nodeAllocatableUpdatePeriodSeconds", None)


def csi_driver_on_update(new: Obj, old: Obj) -> None:
    """What nodes have to learn is counted."""
    fields = ("podInfoOnMount", "fsGroupPolicy", "tokenRequests", "requiresRepublish", "seLinuxMount")
    if any(new["spec"].get(field) != old["spec"].get(field) for field in fields):
        new["metadata"]["generation"] = int(old["metadata"].get("generation") or 0) + 1


def csi_driver_changed(new: Obj, old: Obj) -> list[Cause]:
    """What a driver is attached and used for stays."""
    causes, mine, theirs = objectmeta.changed(new, old) + csi_driver(new), new["spec"], old["spec"]
    for field, name in (("attachRequired", "attachedRequired"), ("volumeLifecycleModes",) * 2):
        causes += checks.unchanged(mine.get(field), theirs.get(field), f"spec.{name}")
    return causes


def capacity(obj: Obj) -> list[Cause]:
    """ValidateCSIStorageCapacity."""
    causes = checks.label_selector(obj.get("nodeTopology"), "nodeTopology")
    causes += checks.dns_subdomain(obj.get("storageClassName") or "", "storageClassName")
    amount = obj.get("capacity")
    if amount is not None and quantity.parse(amount) < 0:
        causes.append(bad("capacity", amount, checks.NEGATIVE))
    return causes


def capacity_changed(new: Obj, old: Obj) -> list[Cause]:
    """Where capacity is, and of which class, stays."""
    causes = objectmeta.of_kind(new, GROUP, "CSIStorageCapacity") + capacity(new)
    causes += objectmeta.changed(new, old)
    if not checks.semantic(new.get("nodeTopology"), old.get("nodeTopology")):
        shown = layouts.shown("*metav1.LabelSelector", new.get("nodeTopology"))
        causes.append(immutable("nodeTopology", shown))
    name = new.get("storageClassName")
    return causes + checks.unchanged(name, old.get("storageClassName"), "storageClassName")


def attributes_class(obj: Obj) -> list[Cause]:
    """ValidateVolumeAttributesClass."""
    causes = _provisioner(obj.get("driverName") or "", "driverName")
    return causes + _parameters(obj.get("parameters") or {}, needed=True)


def attributes_class_changed(new: Obj, old: Obj) -> list[Cause]:
    """A class of attributes stays as it is."""
    causes = objectmeta.changed(new, old)
    for field in ("driverName", "parameters"):
        if (new.get(field) or {}) != (old.get(field) or {}):
            causes.append(forbidden(field, f"updates to {field} are forbidden."))
    return causes + objectmeta.of_kind(new, GROUP, "VolumeAttributesClass") + attributes_class(new)


STORAGE_CLASS = Strategy(
    default=class_default, validate=storage_class, validate_update=class_changed, has_generation=False,
    returns_deleted=True,
)  # fmt: skip
ATTACHMENT = Strategy(
    unconditional=False,
    validate=attachment,
    validate_update=attachment_changed,
    parts={"status": Part(validate=attachment_changed)},
    blank_status={"attached": False},
    has_generation=False,
    returns_deleted=True,
)
CSI_NODE = Strategy(
    default=csi_node_default,
    unconditional=False,
    validate=csi_node,
    validate_update=csi_node_changed,
    has_generation=False,
    returns_deleted=True,
)
CSI_DRIVER = Strategy(
    unconditional=False,
    on_create=csi_driver_default_of_gate, on_update=csi_driver_on_update,
    default=csi_driver_default, validate=csi_driver, validate_update=csi_driver_changed, has_generation=False,
    returns_deleted=True,
)  # fmt: skip
CAPACITY = Strategy(
    validate=capacity, validate_update=capacity_changed, has_generation=False, unconditional=False
)
ATTRIBUTES_CLASS = Strategy(
    validate=attributes_class, validate_update=attributes_class_changed, has_generation=False,
    returns_deleted=True,
)  # fmt: skip
