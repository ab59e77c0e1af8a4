"""The list `status.twins` of a DeviceStatus, and how a node's report changes it. No I/O.

Facts: KubeEdge `cloud/pkg/devicecontroller/controller/upstream.go` (docs/reference/devices.md): only
properties of the device's spec count; `actual` becomes `reported`, `expected` becomes
`observedDesired`; all metadata are strings; versions are ignored.
The original stores empty values at a property's first report; here the first report counts.
"""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]

EMPTY = {"value": ""}


def property_names(device: Obj) -> list[str]:
    """The names of the device's properties, in their order."""
    return [item["name"] for item in (device.get("spec") or {}).get("properties") or [] if item.get("name")]


def reported(report: Obj, known: dict[str, Obj], names: list[str]) -> dict[str, Obj]:
    """The twins that a report (`content.twin`) sets, by property name; `known` fills what it leaves out."""
    found: dict[str, Obj] = {}
    for name, twin in report.items():
        if name not in names or not isinstance(twin, dict):
            continue
        kind = (twin.get("metadata") or {}).get("type")
        before = known.get(name, {})
        found[name] = {
            "propertyName": name,
            "reported": _value(twin.get("actual"), kind) or before.get("reported") or EMPTY,
            "observedDesired": _value(twin.get("expected"), kind) or before.get("observedDesired") or EMPTY,
        }
    return found


def by_name(status: Obj | None) -> dict[str, Obj]:
    """The twins of a DeviceStatus by property name."""
    twins = ((status or {}).get("status") or {}).get("twins") or []
    return {twin["propertyName"]: twin for twin in twins if twin.get("propertyName")}


def newest(stored: dict[str, Obj], ours: dict[str, Obj]) -> dict[str, Obj]:
    """Both lists together; of two twins the one that was reported later (ours, if they tie)."""
    merged = dict(stored)
    for name, twin in ours.items():
        if name not in merged or timestamp(twin) >= timestamp(merged[name]):
            merged[name] = twin
    return merged


def timestamp(twin: Obj) -> int:
    """When the twin was reported, in Unix milliseconds; 0 when nothing says so."""
    text = ((twin.get("reported") or {}).get("metadata") or {}).get("timestamp", "")
    return int(text) if isinstance(text, str) and text.isdecimal() else 0


def _value(value: Any, kind: Any) -> Obj | None:
    if not isinstance(value, dict) or value.get("value") is None:
        return None
    metadata: dict[str, str] = {}
    moment = (value.get("metadata") or {}).get("timestamp")
    if moment:
        metadata["timestamp"] = str(moment)
    if kind:
        metadata["type"] = str(kind)
    text = value["value"]
    return {
        "value": text if isinstance(text, str) else str(text),
        **({"metadata": metadata} if metadata else {}),
    }
