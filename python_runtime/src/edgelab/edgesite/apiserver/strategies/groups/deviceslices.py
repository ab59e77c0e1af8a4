"""ResourceSlices: the devices that a driver has on a node (`pkg/apis/resource/validation`)."""

from __future__ import annotations

import re
from typing import Any

from edgelab.edgesite.apiserver import layouts, objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, bad, duplicate, required, too_long
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.groups.deviceparts import each, qualified_name
from edgelab.edgesite.apiserver.strategies.pod import affinity
from edgelab.edgesite.apiserver.strategy import Strategy

Obj = dict[str, Any]

MOST_DEVICES, MOST_VALUES, LONGEST_VALUE, LONGEST_POOL = 128, 32, 64, 253
NUMBER, PART, BUILD = r"(0|[1-9]\d*)", r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)", "[0-9a-zA-Z-]+"
VERSION = rf"{NUMBER}\.{NUMBER}\.{NUMBER}(-{PART}(\.{PART})*)?(\+{BUILD}(\.{BUILD})*)?"
PLACES = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
ONE_VALUE = "exactly one value must be specified"
OFF = (
    "allNodes",
    "allowMultipleAllocations",
    "bindingConditions",
    "bindingFailureConditions",
    "bindsToNode",
    "consumesCounters",
    "nodeName",
    "nodeSelector",
    "taints",
)


def default(obj: Obj) -> None:
    """What is off in Kubernetes 1.35 is dropped: devices in parts, taints, shared capacity."""
    spec = obj.setdefault("spec", {})
    for field in ("perDeviceNodeSelection", "sharedCounters"):
        spec.pop(field, None)
    for device in spec.get("devices") or ():
        for field in OFF:
            device.pop(field, None)
        for capacity in (device.get("capacity") or {}).values():
            capacity.pop("requestPolicy", None)


def device_slice(obj: Obj, old: Obj | None = None) -> list[Cause]:
    """ValidateResourceSlice."""
    spec, causes = obj["spec"], []
    causes += checks.csi_driver_name(spec.get("driver") or "", "spec.driver")
    causes += _pool(spec.get("pool") or {}, "spec.pool")
    if old is not None:
        before = old["spec"]
        now, was = ((found.get("pool") or {}).get("name") for found in (spec, before))
        causes += checks.unchanged(now, was, "spec.pool.name")
        for field in ("driver", "nodeName"):
            causes += checks.unchanged(spec.get(field), before.get(field), f"spec.{field}")
    causes += _place(spec)
    devices = spec.get("devices") or []
    causes += each(devices, "spec.devices", _device, MOST_DEVICES)
    seen: set[str] = set()
    for position, item in enumerate(devices):
        name = item.get("name") or ""
        causes += [duplicate(f"spec.devices[{position}].name", name)] if name in seen else []
        seen.add(name)
    return causes


def _pool(pool: Obj, path: str) -> list[Cause]:
    name, field = pool.get("name") or "", f"{path}.name"
    causes = [] if name else [required(field)]
    if name:
        causes += [too_long(field, LONGEST_POOL)] if len(name) > LONGEST_POOL else []
        causes += [cause for part in name.split("/") for cause in checks.dns_subdomain(part, field)]
    count, generation = pool.get("resourceSliceCount") or 0, pool.get("generation") or 0
    if count <= 0:
        causes.append(bad(f"{path}.resourceSliceCount", count, "must be greater than zero"))
    if generation < 0:
        causes.append(bad(f"{path}.generation", generation, "must be greater than or equal to zero"))
    return causes


def _place(spec: Obj) -> list[Cause]:
    causes: list[Cause] = []
    found: list[str] = []
    name, selector = spec.get("nodeName"), spec.get("nodeSelector")
    if name == "":
        text = "must be either unset or set to a non-empty string"
        causes.append(bad("spec.nodeName", name, text))
    elif name is not None:
        found.append("`nodeName`")
        causes += checks.dns_subdomain(name, "spec.nodeName")
    if selector is not None:
        found.append("`nodeSelector`")
        causes += affinity.node_selector(selector, "spec.nodeSelector")
    if spec.get("allNodes"):
        found.append("`allNodes`")
    elif spec.get("allNodes") is not None:
        causes.append(bad("spec.allNodes", False, "must be either unset or set to true"))
    if not found:
        return [*causes, required("spec", PLACES)]
    text = f"{PLACES}, but multiple fields are set"
    return causes + ([bad("spec", f"{{{', '.join(found)}}}", text)] if len(found) > 1 else [])


def _device(device: Obj, path: str) -> list[Cause]:
    causes = checks.dns_label(device.get("name") or "", f"{path}.name")
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    total = len(attributes) + len(capacity)
    if total > MOST_VALUES:
        text = f"the total number of attributes and capacities must not exceed {MOST_VALUES}"
        causes.append(bad(path, total, text))
    for key, value in attributes.items():
        field = f"{path}.attributes[{key}]"
        causes += qualified_name(key, field) + _attribute(value, field)
    for key in capacity:
        causes += qualified_name(key, f"{path}.capacity[{key}]")
    return causes


def _attribute(value: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for field in ("string", "version"):
        text = value.get(field)
        if text is None:
            continue
        if field == "version" and not re.fullmatch(VERSION, text):
            why = "must be a string compatible with semver.org spec 2.0.0"
            causes.append(bad(f"{path}.version", text, why))
        causes += [too_long(f"{path}.{field}", LONGEST_VALUE)] if len(text) > LONGEST_VALUE else []
    given = sum(value.get(field) is not None for field in ("bool", "int", "string", "version"))
    if not given:
        causes.append(required(path, ONE_VALUE))
    elif given > 1:
        causes.append(bad(path, layouts.shown("resource.DeviceAttribute", value), ONE_VALUE))
    return causes


def changed(new: Obj, old: Obj) -> list[Cause]:
    """ValidateResourceSliceUpdate."""
    return objectmeta.changed(new, old) + device_slice(new, old)


SLICE = Strategy(default=default, validate=device_slice, validate_update=changed, returns_deleted=True)
