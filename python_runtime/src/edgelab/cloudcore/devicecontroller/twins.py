"""The list `status.twins` of a DeviceStatus, and how a node's report changes it. No I/O.

Facts: KubeEdge `cloud/pkg/devicecontroller/controller/upstream.go` (docs/reference/devices.md): only
properties of the device's spec count; `actual` becomes `reported`, `expected` becomes
`observedDesired`; all metadata are strings; versions are ignored.
The original stores empty values at a property's first report; here the first report counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Obj = dict[str, Any]

EMPTY = {"value": ""}
HALVES = {"reported": "actual", "observedDesired": "expected"}
"""Halves of a twin in a DeviceStatus, and what nodes call them."""


def property_names(device: Obj) -> list[str]:
    """The names of the device's properties, in their order."""
    return [item["name"] for item in (device.get("spec") or {}).get("properties") or [] if item.get("name")]


def given(report: Obj, names: list[str]) -> dict[str, Obj]:
    """The halves that a report (`content.twin`) gives, by property name."""
    found: dict[str, Obj] = {}
    for name, twin in report.items():
        if name not in names or not isinstance(twin, dict):
            continue
        kind = (twin.get("metadata") or {}).get("type")
        halves = {half: _value(twin.get(theirs), kind) for half, theirs in HALVES.items()}
        found[name] = {half: value for half, value in halves.items() if value is not None}
    return found


def with_given(known: dict[str, Obj], news: Mapping[str, Obj], names: list[str]) -> list[Obj]:
    """`status.twins` after `news`: a half that nobody ever gave has an empty value."""
    blank = dict.fromkeys(HALVES, EMPTY)
    return [
        {"propertyName": name, **blank, **known.get(name, {}), **news.get(name, {})}
        for name in names
        if name in known or name in news
    ]


def by_name(status: Obj | None) -> dict[str, Obj]:
    """The twins of a DeviceStatus by property name."""
    twins = ((status or {}).get("status") or {}).get("twins") or []
    return {twin["propertyName"]: twin for twin in twins if twin.get("propertyName")}


def is_news(known: dict[str, Obj], news: Mapping[str, Obj]) -> bool:
    """Whether the device itself said something since: an edge that starts again repeats old values."""
    return any(
        "reported" in twin and _moment(twin) != _moment(known.get(name, {})) for name, twin in news.items()
    )


def _moment(twin: Obj) -> Any:
    return ((twin.get("reported") or {}).get("metadata") or {}).get("timestamp")


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
