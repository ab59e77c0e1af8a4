"""What makes a schema structural (`apiextensions-apiserver/pkg/apiserver/schema/validation.go`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.custom import patterns
from edgelab.edgesite.apiserver.custom.errors import Cause, child, forbidden, invalid, key, required

Obj = dict[str, Any]

INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
EMPTY = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
NOT_NESTED = (
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
    ("x-kubernetes-embedded-resource", "must be false to be structural"),
    ("x-kubernetes-int-or-string", "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
)
UNSUPPORTED = ("id", "schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions")


def unreadable(schema: Any) -> str:
    """Why a schema cannot be read as a structural one at all; empty if it can."""
    if not isinstance(schema, dict):
        return ""
    for name in UNSUPPORTED:
        value = schema.get("$schema" if name == "schema" else name)
        if value or (name == "additionalItems" and value is not None):
            return f"OpenAPIV3Schema '{name}' is not supported"
    below = [
        schema.get("not"),
        *(inner for n in ("allOf", "anyOf", "oneOf") for inner in schema.get(n) or ()),
    ]
    for inner in below:
        if text := unreadable(inner):
            return text
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        return "internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined"
    if isinstance(schema.get("items"), list):
        return "OpenAPIV3Schema 'items' must be a schema, but is an array"
    rest = [
        schema.get("items"),
        *(schema.get("properties") or {}).values(),
        schema.get("additionalProperties"),
    ]
    return next(filter(None, map(unreadable, rest)), "")


def validate(schema: Obj, path: str) -> list[Cause]:
    """What is not structural, in the order of the texts."""
    causes = _invariants(schema, "root", path) + _completeness(schema, schema, path, path)
    return sorted(causes, key=lambda cause: f"{cause.field}: {cause.message}")


def _invariants(schema: Obj, level: str, path: str) -> list[Cause]:
    causes: list[Cause] = []
    kind, items, values = schema.get("type") or "", schema.get("items"), schema.get("additionalProperties")
    if kind == "array" and items is None:
        causes.append(required(child(path, "items"), "must be specified"))
    if isinstance(items, dict):
        causes += _invariants(items, "item", child(path, "items"))
    for name, inner in (schema.get("properties") or {}).items():
        causes += _invariants(inner, "field", key(child(path, "properties"), name))
    if values is not None:
        where = child(path, "additionalProperties")
        if level == "root":
            causes.append(forbidden(where, "must not be used at the root"))
        if isinstance(values, dict):
            causes += _invariants(values, "field", where)
    causes += _extensions(schema, path)
    any_of = schema.get("anyOf") or []
    all_of = schema.get("allOf") or []
    first = bool(all_of) and (all_of[0].get("anyOf") or []) == INT_OR_STRING
    causes += _values(schema, path, skip_any=any_of == INT_OR_STRING, skip_first=first)
    return causes + _types(schema, kind, level, path) + _meta(schema, level, path)


def _extensions(schema: Obj, path: str) -> list[Cause]:
    if not schema.get("x-kubernetes-int-or-string"):
        return []
    names = ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource")
    text = "must be false if x-kubernetes-int-or-string is true"
    return [invalid(child(path, name), True, text) for name in names if schema.get(name)]


def _types(schema: Obj, kind: str, level: str, path: str) -> list[Cause]:
    causes, where = [], child(path, "type")
    embedded = bool(schema.get("x-kubernetes-embedded-resource"))
    free = schema.get("x-kubernetes-int-or-string") or schema.get("x-kubernetes-preserve-unknown-fields")
    if embedded and kind != "object":
        text = "must be object if x-kubernetes-embedded-resource is true"
        causes.append(invalid(where, kind, text) if kind else required(where, text))
    elif not kind and not free:
        causes.append(required(where, EMPTY[level]))
    if embedded and schema.get("additionalProperties") is not None:
        text = "must not be used if x-kubernetes-embedded-resource is set"
        causes.append(forbidden(child(path, "additionalProperties"), text))
    if level == "root" and kind and kind != "object":
        causes.append(invalid(where, kind, "must be object at the root"))
    return causes


def _meta(schema: Obj, level: str, path: str) -> list[Cause]:
    causes, properties = [], schema.get("properties") or {}
    embedded = bool(schema.get("x-kubernetes-embedded-resource"))
    checked = level == "root" or embedded
    for name in ("kind", "apiVersion"):
        if name in properties and checked and properties[name].get("type") != "string":
            where = child(key(child(path, "properties"), name), "type")
            causes.append(invalid(where, properties[name].get("type") or "", "must be string"))
    if "metadata" in properties:
        metadata, where = properties["metadata"], key(child(path, "properties"), "metadata")
        if checked and metadata.get("type") != "object":
            causes.append(invalid(child(where, "type"), metadata.get("type") or "", "must be object"))
        if level == "root" and not _is_plain_metadata(metadata):
            text = (
                "must not specify anything other than name and generateName,"
                " but metadata is implicitly specified"
            )
            causes.append(forbidden(where, text))
    if embedded and not schema.get("x-kubernetes-preserve-unknown-fields") and not properties:
        text = (
            "must not be empty if x-kubernetes-embedded-resource is true"
            " without x-kubernetes-preserve-unknown-fields"
        )
        causes.append(required(child(path, "properties"), text))
    return causes


def _is_plain_metadata(metadata: Obj) -> bool:
    names = set(metadata.get("properties") or {})
    rest = {name for name, value in metadata.items() if value not in (None, "", False, [], {})}
    return names <= {"name", "generateName"} and rest <= {"type", "default", "properties"}


def _values(schema: Obj, path: str, *, skip_any: bool = False, skip_first: bool = False) -> list[Cause]:
    """The validations of a value, with their nested schemas."""
    causes: list[Cause] = []
    for name in ("anyOf", "allOf", "oneOf"):
        if name == "anyOf" and skip_any:
            continue
        for position, inner in enumerate(schema.get(name) or ()):
            skipped = name == "allOf" and skip_first and position == 0
            causes += _nested(inner, f"{child(path, name)}[{position}]", skip_any=skipped)
    if isinstance(schema.get("not"), dict):
        causes += _nested(schema["not"], child(path, "not"))
    if schema.get("pattern") and (text := patterns.problem(schema["pattern"])):
        detail = f"must be a valid regular expression, but isn't: {text}"
        causes.append(invalid(child(path, "pattern"), schema["pattern"], detail))
    return causes


def _nested(schema: Obj, path: str, *, skip_any: bool = False) -> list[Cause]:
    causes = _values(schema, path, skip_any=skip_any)
    if isinstance(schema.get("items"), dict):
        causes += _nested(schema["items"], child(path, "items"))
    properties = schema.get("properties") or {}
    for name, inner in properties.items():
        causes += _nested(inner, key(child(path, "properties"), name))
    for name, text in NOT_NESTED:
        value = schema.get(name)
        empty = (
            value is None
            if name in ("default", "x-kubernetes-list-type", "x-kubernetes-map-type")
            else not value
        )
        if not empty:
            causes.append(forbidden(child(path, name), text))
    if "metadata" in properties:
        where = key(child(path, "properties"), "metadata")
        causes.append(forbidden(where, "must not be specified in a nested context"))
    return causes


def _completeness(values: Obj, schema: Obj, path: str, from_path: str) -> list[Cause]:
    """Every nested schema is about something that the structural part has."""
    causes: list[Cause] = []
    if isinstance(values.get("not"), dict):
        causes += _nested_completeness(values["not"], schema, path, child(from_path, "not"))
    for name in ("allOf", "anyOf", "oneOf"):
        for position, inner in enumerate(values.get(name) or ()):
            causes += _nested_completeness(inner, schema, path, f"{child(from_path, name)}[{position}]")
    return causes


def _nested_completeness(values: Any, schema: Any, path: str, from_path: str) -> list[Cause]:
    if not isinstance(values, dict):
        return []
    if not isinstance(schema, dict):
        return [required(path, f"because it is defined in {from_path}")]
    causes = _completeness(values, schema, path, from_path)
    causes += _nested_completeness(
        values.get("items"), schema.get("items"), child(path, "items"), child(from_path, "items")
    )
    for name, inner in (values.get("properties") or {}).items():
        where, origin = (key(child(item, "properties"), name) for item in (path, from_path))
        field = (schema.get("properties") or {}).get(name)
        causes += _nested_completeness(inner, field, where, origin)
    return causes
