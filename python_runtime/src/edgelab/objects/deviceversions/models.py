"""DeviceModel in both layouts.

v1alpha2 says a property's type as the key of an object, with everything about it inside:
`type: {int: {accessMode, minimum, maximum, unit, defaultValue}}`; v1beta1 has flat fields, limits as text
and no default.
"""

from __future__ import annotations

from typing import Any

from edgelab.objects.deviceversions.fields import (
    LayoutError,
    Obj,
    filled,
    mapping,
    mappings,
    part,
    rest_of,
    text,
    with_rest,
)

TYPES = ("int", "float", "double", "string", "boolean", "bytes", "stream")
LIMITS = ("minimum", "maximum")
FLAT = ("accessMode", "unit")
BETA_ONLY = ("protocolConfigData",)


def to_beta(obj: Obj) -> Obj:
    """A v1alpha2 model as v1beta1. Raises LayoutError."""
    spec, rest = mapping(obj, "spec", "model"), rest_of(obj)
    visitors, defaults = part(rest, "visitors"), {}
    properties = []
    for old, path in mappings(spec, "properties", "spec"):
        name = text(old, "name", path)
        kind, inner = _type(old, path)
        limits = {key: _limit_text(inner.get(key), f"{path}.type.{kind}.{key}") for key in LIMITS}
        flat = {key: text(inner, key, f"{path}.type.{kind}") for key in FLAT}
        if "defaultValue" in inner:
            defaults[name] = inner["defaultValue"]
        properties.append(
            filled(
                name=name,
                description=text(old, "description", path),
                type=kind.upper(),
                **flat,
                **limits,
                visitors=visitors.get(name),
            )
        )
    kept = filled(protocol=text(spec, "protocol", "spec"), properties=properties)
    kept |= {key: rest[key] for key in BETA_ONLY if isinstance(rest.get(key), dict)}
    metadata = with_rest(obj["metadata"], {"defaultValues": defaults})
    return {"apiVersion": _version(obj, "v1beta1"), "kind": obj["kind"], "metadata": metadata, "spec": kept}


def to_alpha(obj: Obj) -> Obj:
    """A v1beta1 model as v1alpha2. Raises LayoutError."""
    spec = mapping(obj, "spec", "model")
    defaults, visitors = part(rest_of(obj), "defaultValues"), {}
    properties = []
    for new, path in mappings(spec, "properties", "spec"):
        name, kind = text(new, "name", path), text(new, "type", path).lower()
        if new.get("visitors"):
            visitors[name] = new["visitors"]
        inner: Obj = {key: text(new, key, path) for key in FLAT}
        inner |= {key: _limit(text(new, key, path), kind) for key in LIMITS}
        typed = {kind: filled(**inner, defaultValue=defaults.get(name))} if kind else {}
        properties.append(filled(name=name, description=text(new, "description", path), type=typed))
    metadata = with_rest(obj["metadata"], {"visitors": visitors, **{key: spec.get(key) for key in BETA_ONLY}})
    kept = filled(protocol=text(spec, "protocol", "spec"), properties=properties)
    return {"apiVersion": _version(obj, "v1alpha2"), "kind": obj["kind"], "metadata": metadata, "spec": kept}


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
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise LayoutError(f"{where}: expected a number")
    return str(int(value)) if value == int(value) else str(value)


def _limit(value: str, kind: str) -> int | float | str | None:
    """A limit as a number; a text that is none stays one, as nobody but people reads limits."""
    if not value:
        return None
    try:
        return int(value) if kind == "int" else float(value)
    except ValueError:
        return value


def _version(obj: Obj, version: str) -> str:
    return f"{obj['apiVersion'].partition('/')[0]}/{version}"
