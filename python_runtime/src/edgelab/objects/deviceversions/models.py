"""DeviceModel in both layouts.

v1alpha2 says a property's type as the key of an object, with everything about it inside:
`type: {int: {accessMode, minimum, maximum, unit, defaultValue}}`; v1beta1 has flat fields, limits as text
and no default.
"""

from __future__ import annotations

import math
from typing import Any

from edgelab.objects.deviceversions.fields import LayoutError, Obj, filled, mapping, mappings, text
from edgelab.objects.deviceversions.remainder import Shape, note_of, with_note

TYPES = ("int", "float", "double", "string", "boolean", "bytes", "stream")
LIMITS = ("minimum", "maximum")
FLAT = ("accessMode", "unit")
SHAPE = Shape({("spec", "properties"): "name"})
"""Of both layouts."""


def to_beta(obj: Obj) -> Obj:
    """A v1alpha2 model as v1beta1. Raises LayoutError."""
    new = SHAPE.restore(_beta(obj), note_of(obj))
    return {**new, "metadata": with_note(obj["metadata"], SHAPE.note(_alpha(new), obj))}


def to_alpha(obj: Obj) -> Obj:
    """A v1beta1 model as v1alpha2. Raises LayoutError."""
    old = SHAPE.restore(_alpha(obj), note_of(obj))
    return {**old, "metadata": with_note(obj["metadata"], SHAPE.note(_beta(old), obj))}


def _beta(obj: Obj) -> Obj:
    spec = mapping(obj, "spec", "model")
    properties = []
    for old, path in mappings(spec, "properties", "spec"):
        kind, inner = _type(old, path)
        where = f"{path}.type.{kind}"
        flat = {key: text(inner, key, where) for key in FLAT}
        limits = {key: _limit_text(inner.get(key), f"{where}.{key}") for key in LIMITS}
        named = filled(name=text(old, "name", path), description=text(old, "description", path))
        properties.append({**named, **filled(type=kind.upper(), **flat, **limits)})
    return _whole(obj, "v1beta1", filled(protocol=text(spec, "protocol", "spec"), properties=properties))


def _alpha(obj: Obj) -> Obj:
    spec = mapping(obj, "spec", "model")
    properties = []
    for new, path in mappings(spec, "properties", "spec"):
        kind = text(new, "type", path).lower()
        inner: Obj = {key: text(new, key, path) for key in FLAT}
        inner |= {key: _limit(text(new, key, path), kind) for key in LIMITS}
        named = filled(name=text(new, "name", path), description=text(new, "description", path))
        properties.append({**named, **filled(type={kind: filled(**inner)} if kind else {})})
    return _whole(obj, "v1alpha2", filled(protocol=text(spec, "protocol", "spec"), properties=properties))


def _type(prop: Obj, path: str) -> tuple[str, Obj]:
    """The type's name and what is said about it; both empty when there is none."""
    found = mapping(prop, "type", path)
    if not found:
        return "", {}
    if len(found) != 1 or (kind := next(iter(found))) not in TYPES:
        raise LayoutError(f"{path}.type: expected exactly one of {', '.join(TYPES)}")
    return kind, mapping(found, kind, f"{path}.type")


def _limit_text(value: Any, where: str) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise LayoutError(f"{where}: expected a number")
    return str(int(value)) if value == int(value) else str(value)


def _limit(value: str, kind: str) -> int | float | None:
    """A limit as a number; a text that is none has no place, as nobody but people reads limits."""
    try:
        found = int(value) if kind == "int" else float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _whole(old: Obj, version: str, spec: Obj) -> Obj:
    group = old["apiVersion"].partition("/")[0]
    return {
        "apiVersion": f"{group}/{version}",
        "kind": old["kind"],
        "metadata": old["metadata"],
        "spec": spec,
    }
