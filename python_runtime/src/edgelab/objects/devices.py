"""What the annotations and the spec of a Device say, for both of its sides. No I/O."""

from __future__ import annotations

from typing import Any

Obj = dict[str, Any]

OFFLINE_AFTER = "edgelab.io/offline-after"
"""Annotation of a Device: a duration (`90s`); silent for longer, the device counts as offline."""
SPOOL = "edgelab.io/spool"
"""Annotation of a Device: how many reports its node keeps while the cloud is away, besides the newest."""
LONGEST_SPOOL = 100_000


def id_of(device: Obj) -> str:
    """`<namespace>/<name>`, by which MQTT clients, the edge's store and membership messages name a device."""
    metadata = device.get("metadata") or {}
    return f"{metadata.get('namespace') or 'default'}/{metadata.get('name') or ''}"


def annotation(obj: Obj, name: str) -> str:
    """The annotation's text; empty when there is none."""
    text = ((obj.get("metadata") or {}).get("annotations") or {}).get(name)
    return text.strip() if isinstance(text, str) else ""


def spool_of(device: Obj) -> int:
    """How many reports are to be kept; 0 when none are, or when the annotation cannot be read."""
    text = annotation(device, SPOOL)
    return min(int(text), LONGEST_SPOOL) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def desired_of(device: Obj) -> dict[str, Obj]:
    """`desired` of each property that has a value to reach, by the property's name."""
    found: dict[str, Obj] = {}
    for prop in (device.get("spec") or {}).get("properties") or ():
        desired = prop.get("desired") if isinstance(prop, dict) else None
        if isinstance(desired, dict) and isinstance(desired.get("value"), str) and desired["value"]:
            found[str(prop.get("name") or "")] = desired
    return found
