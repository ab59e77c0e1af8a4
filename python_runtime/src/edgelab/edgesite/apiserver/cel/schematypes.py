"""Types and values that a schema gives to expressions (`apiserver/pkg/cel/common`)."""

from __future__ import annotations

import base64
import binascii
import re
import time
from typing import Any

from edgelab.edgesite.apiserver.cel import literals, types
from edgelab.edgesite.apiserver.cel.types import Type, list_of, map_of
from edgelab.edgesite.apiserver.cel.values import Items, Struct

Obj = dict[str, Any]

_RESERVED = (
    "true false null in as break const continue else for"
    " function if import let loop package namespace return var void while"
)
RESERVED = frozenset(_RESERVED.split())
NAME = re.compile("[a-zA-Z_./-][a-zA-Z0-9_./-]*")
ESCAPES = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
META = {"kind": {"type": "string"}, "apiVersion": {"type": "string"}}
OBJECT_META = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}},
}
SCALARS = {"boolean": types.BOOL, "number": types.DOUBLE, "integer": types.INT}
STRINGS = {
    "byte": types.BYTES,
    "date": types.TIMESTAMP,
    "date-time": types.TIMESTAMP,
    "duration": types.DURATION,
}


def escape(name: str) -> str | None:
    """A field's name as expressions write it; None if they cannot."""
    if NAME.fullmatch(name) is None:
        return None
    if name in RESERVED:
        return f"__{name}__"
    return re.sub(r"__|[./-]", lambda match: ESCAPES[match[0]], name)


def with_meta(schema: Obj) -> Obj:
    """The schema of a whole resource, with what every resource has."""
    properties = schema.get("properties") or {}
    return {**schema, "properties": {**properties, **META, "metadata": OBJECT_META}}


def type_for(schema: Obj, *, root: bool = False, name: str = "") -> Type | None:
    """The type of values of a schema; None for what expressions cannot see."""
    if schema.get("x-kubernetes-int-or-string"):
        return types.DYN
    schema = with_meta(schema) if root or schema.get("x-kubernetes-embedded-resource") else schema
    kind = schema.get("type")
    if kind == "array":
        inner = type_for(schema.get("items") or {}, name=f"{name}.@idx")
        return None if inner is None else list_of(inner)
    if kind == "object":
        return _object(schema, name)
    if kind == "string":
        return STRINGS.get(schema.get("format") or "", types.STRING)
    return SCALARS.get(str(kind))


def self_type(schema: Obj, *, root: bool) -> Type | None:
    """The type of `self`; it has a name that nobody can rely on."""
    return type_for(schema, root=root, name=f"selfType{time.time_ns() % 10**9}")


def _object(schema: Obj, name: str) -> Type | None:
    values = schema.get("additionalProperties")
    if isinstance(values, dict):
        inner = type_for(values, name=f"{name}.@elem")
        return None if inner is None else map_of(types.STRING, inner)
    fields: dict[str, Type] = {}
    for field, inner_schema in (schema.get("properties") or {}).items():
        escaped = escape(field)
        found = type_for(inner_schema, name=f"{name}.{escaped}") if escaped else None
        if escaped and found is not None:
            fields[escaped] = found
    return Type("struct", name=name, fields=fields)


def value_for(value: Any, schema: Obj, *, root: bool = False) -> Any:
    """A JSON value as expressions see it."""
    if value is None or schema.get("x-kubernetes-int-or-string"):
        return value
    schema = with_meta(schema) if root or schema.get("x-kubernetes-embedded-resource") else schema
    if isinstance(value, dict):
        return _object_value(value, schema)
    if isinstance(value, list):
        return _list_value(value, schema)
    if isinstance(value, str):
        return _string_value(value, schema.get("format") or "")
    if isinstance(value, bool):
        return value
    return {"number": float, "integer": int}.get(str(schema.get("type")), type(value))(value)


def _list_value(value: list[Any], schema: Obj) -> list[Any]:
    items = schema.get("items") or {}
    inner = [value_for(item, items) for item in value]
    list_type = schema.get("x-kubernetes-list-type")
    if list_type not in ("set", "map"):
        return inner
    found = Items(inner)
    found.keys = tuple(schema.get("x-kubernetes-list-map-keys") or ()) if list_type == "map" else ()
    return found


def _object_value(value: Obj, schema: Obj) -> Any:
    values = schema.get("additionalProperties")
    if isinstance(values, dict):
        return {key: value_for(inner, values) for key, inner in value.items()}
    found = Struct()
    properties = schema.get("properties") or {}
    for name, inner in value.items():
        escaped = escape(name)
        if escaped is not None and name in properties:
            found[escaped] = value_for(inner, properties[name])
    return found


def _string_value(value: str, form: str) -> Any:
    if form == "duration":
        return literals.long_duration(value) or value
    if form == "date":
        return literals.date(value) or value
    if form == "date-time":
        return literals.timestamp(value) or value
    if form == "byte":
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return value
    return value
