"""A Device after a part of it was described anew: properties and methods go by name, the rest stays."""

from __future__ import annotations

from typing import Any

from edgelab.keadm.devices.twins import by_name
from edgelab.kube.interface import Obj

NAMED_LISTS = ("properties", "methods")
MERGED = ("protocol", "stateReport")
"""Parts of the spec whose keys are looked at one by one; below those, a part is replaced as a whole."""


def merged(live: Obj, given: Obj, *, purge: bool) -> Obj:
    """`live` with the labels, annotations and spec of `given`; with `purge` its spec is all there is."""
    metadata = {**live.get("metadata", {})}
    for key, value in given["metadata"].items():
        metadata[key] = {**(metadata.get(key) or {}), **value} if isinstance(value, dict) else value
    spec = (given.get("spec") or {}) if purge else _spec(live.get("spec") or {}, given.get("spec") or {})
    return {**live, "metadata": metadata, "spec": spec}


def _spec(live: Obj, given: Obj) -> Obj:
    changed: dict[str, Any] = {**live, **given}
    for key in given.keys() & live.keys():
        if key in NAMED_LISTS:
            changed[key] = _items(live[key] or [], given[key] or [])
        elif key in MERGED:
            changed[key] = {**(live[key] or {}), **(given[key] or {})}
    return changed


def _items(live: list[Obj], given: list[Obj]) -> list[Obj]:
    """In the order of `live`, new ones last."""
    named = by_name(given)
    kept = [_item(one, named.pop(str(one.get("name")), {})) for one in live]
    return [*kept, *named.values()]


def _item(live: Obj, given: Obj) -> Obj:
    changed: dict[str, Any] = {**live, **given}
    if live.get("desired") and given.get("desired"):
        changed["desired"] = {**live["desired"], **given["desired"]}
    return changed
