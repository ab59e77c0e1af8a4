"""Reading fields of objects that nobody has checked, and the annotation for what has no place."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Obj = dict[str, Any]

REST = "edgelab.io/other-version"
"""Annotation: JSON of what the object's other layout says and this one has no field for."""


class LayoutError(ValueError):
    """A field that is not what its layout says; the message names it."""


def mapping(obj: Obj, key: str, where: str) -> Obj:
    """An object below `key`; an empty one when it is missing. Raises LayoutError."""
    found = obj.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise LayoutError(f"{where}.{key}: expected an object, found {_kind(found)}")
    return found


def mappings(obj: Obj, key: str, where: str) -> Iterator[tuple[Obj, str]]:
    """The objects of a list below `key`, each with its path. Raises LayoutError."""
    found = obj.get(key)
    if found is None:
        return
    if not isinstance(found, list):
        raise LayoutError(f"{where}.{key}: expected a list, found {_kind(found)}")
    for number, item in enumerate(found):
        path = f"{where}.{key}[{number}]"
        if not isinstance(item, dict):
            raise LayoutError(f"{path}: expected an object, found {_kind(item)}")
        yield item, path


def text(obj: Obj, key: str, where: str) -> str:
    """A string below `key`, or "". Raises LayoutError."""
    found = obj.get(key)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise LayoutError(f"{where}.{key}: expected a string, found {_kind(found)}")
    return found


def whole(obj: Obj, key: str, where: str) -> int | None:
    """A whole number below `key`, or None. Raises LayoutError."""
    found = obj.get(key)
    if found is None or (isinstance(found, int) and not isinstance(found, bool)):
        return found
    raise LayoutError(f"{where}.{key}: expected a whole number, found {_kind(found)}")


def rest_of(obj: Obj) -> Obj:
    """What the annotation keeps; empty when there is none, or one that somebody has spoilt."""
    note = (obj["metadata"].get("annotations") or {}).get(REST)
    try:
        found = json.loads(note) if isinstance(note, str) else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def part(rest: Obj, key: str) -> Obj:
    """An object that the annotation keeps below `key`."""
    found = rest.get(key)
    return found if isinstance(found, dict) else {}


def with_rest(metadata: Obj, rest: Obj) -> Obj:
    """Metadata that keeps `rest` (without empty values) in its annotation, and no annotation for nothing."""
    kept = {key: value for key, value in rest.items() if value not in (None, {}, [])}
    annotations = {k: v for k, v in (metadata.get("annotations") or {}).items() if k != REST}
    if kept:
        annotations[REST] = json.dumps(kept, separators=(",", ":"), sort_keys=True)
    bare = {key: value for key, value in metadata.items() if key != "annotations"}
    return {**bare, "annotations": annotations} if annotations else bare


def filled(**fields: Any) -> Obj:
    """A dict of the fields that say something."""
    return {key: value for key, value in fields.items() if value not in (None, "", {}, [])}


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return names.get(type(value), "a number")
