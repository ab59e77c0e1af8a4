"""Devices as text for people."""

from __future__ import annotations

from typing import Any

from edgelab.keadm.tables import aligned
from edgelab.kube.interface import Obj

SHOWN = 3
"""Properties in a line of the list; `keadm device get` shows all."""
NONE = "-"


def listed(devices: list[Obj]) -> str:
    """A line for each device."""
    head = ("NAMESPACE", "NAME", "MODEL", "NODE", "STATE", "REPORTED", "SINCE")
    lines = [
        (
            device["namespace"],
            device["name"],
            device["model"] or NONE,
            device["node"] or NONE,
            device["state"] or NONE,
            _reported(device["properties"]),
            since(_youngest(device["properties"])),
        )
        for device in devices
    ]
    return aligned([head, *lines]) if lines else "no such devices"


def single(device: Obj) -> str:
    """What a device is, then a line for each property."""
    parts = ("name", "namespace", "model", "node", "protocol", "state")
    head = [(f"{part}:", device[part] or NONE) for part in parts]
    columns = ("PROPERTY", "TYPE", "ACCESS", "DESIRED", "REPORTED", "UNIT", "SINCE")
    lines = [
        (
            name,
            one["type"] or NONE,
            one["accessMode"] or NONE,
            _text(one["desired"]),
            _text(one["reported"]),
            one["unit"] or NONE,
            since((one["reported"] or {}).get("age")),
        )
        for name, one in device["properties"].items()
    ]
    return f"{aligned(head)}\n\n{aligned([columns, *lines])}"


def _reported(properties: dict[str, Obj]) -> str:
    told = [
        f"{name}={_text(one['reported'])}{' ' + one['unit'] if one['unit'] else ''}"
        for name, one in properties.items()
        if one["reported"] is not None
    ]
    more = f", {len(told) - SHOWN} more" if len(told) > SHOWN else ""
    return ", ".join(told[:SHOWN]) + more or NONE


def _youngest(properties: dict[str, Obj]) -> float | None:
    ages = [one["reported"]["age"] for one in properties.values() if one["reported"] is not None]
    return min((age for age in ages if age is not None), default=None)


def _text(half: Obj | None) -> str:
    if half is None:
        return NONE
    value: Any = half["value"]
    return str(value).lower() if isinstance(value, bool) else str(value)


def since(seconds: float | None) -> str:
    """How long ago: 1.4s, 12m, 5h, 3d; less than nothing where clocks differ."""
    if seconds is None:
        return NONE
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{seconds:.1f}s"
