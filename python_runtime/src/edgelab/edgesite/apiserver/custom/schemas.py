"""Schemas in definitions (`ValidateCustomResourceDefinitionOpenAPISchema` and what it calls)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from edgelab.edgesite.apiserver.custom import defaults, fieldpath, internal, structure
from edgelab.edgesite.apiserver.custom.errors import (
    Cause,
    child,
    forbidden,
    invalid,
    key,
    not_supported,
    required,
)

Obj = dict[str, Any]

TYPES = ("array", "boolean", "integer", "number", "object", "string")
_ROOT_FIELDS = (
    "Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength MinLength"
    " Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example"
    " XPreserveUnknownFields XValidations"
)
ROOT_FIELDS = _ROOT_FIELDS.split()
REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
META = ("metadata", "kind", "apiVersion")
NEWLINE = re.compile(r"[\n\r]")


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a schema we are, and what is not allowed there."""

    path: str
    root: bool = False
    inside_meta: bool = False
    no_defaults: str | None = None
    uncorrelated: str = ""


def validate(schema: Obj, path: str, *, status: bool, rules: Any = None) -> list[Cause]:
    """What is wrong with the schema of a version; `rules` checks the rules in it."""
    where = child(path, "openAPIV3Schema")
    causes = _root(schema, where) if status else []
    if schema.get("nullable"):
        causes.append(forbidden(child(where, "nullable"), "nullable cannot be true at the root"))
    unreadable, usable = structure.unreadable(schema), False
    if not unreadable:
        found = structure.validate(schema, where) or defaults.validate(schema, where)
        causes += found
        usable = not found
    found = _schema(schema, Place(where, root=True))
    causes += found
    if usable and not found and rules is not None:
        causes += rules(schema, where)
    if not causes and unreadable:
        causes.append(invalid(where, "", unreadable))
    return causes


def _root(schema: Obj, path: str) -> list[Cause]:
    """With a status subresource only some fields may be set at the root."""
    for name in internal.set_fields(schema):
        if name == "Type" and schema["type"] != "object":
            text = (
                'only "object" is allowed as the type at the root of the schema'
                " if the status subresource is enabled"
            )
            return [invalid(child(path, "type"), schema["type"], text)]
        if name not in ROOT_FIELDS:
            text = (
                f"only [{' '.join(ROOT_FIELDS)}] fields are allowed at the root of the schema"
                " if the status subresource is enabled"
            )
            return [invalid(path, internal.shown(schema), text)]
    return []


def _schema(schema: Any, place: Place) -> list[Cause]:
    if not isinstance(schema, dict):
        return []
    path = place.path
    causes = _standard(schema, place)
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        causes.append(forbidden(child(path, "uniqueItems"), text))
    causes += _maps(schema, place)
    for name in ("not", "allOf", "oneOf", "anyOf"):
        value = schema.get(name)
        for position, inner in enumerate(value if isinstance(value, list) else [value]):
            suffix = f"[{position}]" if isinstance(value, list) else ""
            causes += _schema(inner, replace(place, path=child(path, name) + suffix, root=False))
    for name in ("definitions", "dependencies"):
        for item, inner in (schema.get(name) or {}).items():
            causes += _schema(inner, replace(place, path=key(child(path, name), item), root=False))
    causes += _items(schema, place)
    causes += _extensions(schema, path)
    for position, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        causes += _rule(schema, rule, f"{child(path, 'x-kubernetes-validations')}[{position}]")
    return causes


def _standard(schema: Obj, place: Place) -> list[Cause]:
    path, causes, kind = place.path, [], schema.get("type") or ""
    if kind and kind not in TYPES:
        causes.append(not_supported(child(path, "type"), kind, TYPES))
    if schema.get("default") is not None and place.no_defaults is not None:
        text = f"must not be set {place.no_defaults}".rstrip()
        causes.append(forbidden(child(path, "default"), text))
    for name in ("id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"):
        value = schema.get(name)
        if value or (value is not None and name in ("additionalItems", "dependencies", "$ref")):
            causes.append(forbidden(child(path, name), f"{name} is not supported"))
    if kind == "null":
        text = "type cannot be set to null, use nullable as an alternative"
        causes.append(forbidden(child(path, "type"), text))
    if isinstance(schema.get("items"), list) and schema["items"]:
        causes.append(forbidden(child(path, "items"), "items must be a schema object and not an array"))
    if place.inside_meta and schema.get("x-kubernetes-embedded-resource"):
        where = child(path, "x-kubernetes-embedded-resource")
        causes.append(forbidden(where, "must not be used inside of resource meta"))
    return causes


def _maps(schema: Obj, place: Place) -> list[Cause]:
    """`additionalProperties` and `properties`."""
    causes: list[Cause] = []
    properties, values = schema.get("properties") or {}, schema.get("additionalProperties")
    if values is not None:
        where = child(place.path, "additionalProperties")
        if properties and values is not True:
            text = "additionalProperties and properties are mutual exclusive"
            causes.append(forbidden(where, text))
        inner = replace(place, path=where, root=False)
        if place.inside_meta:
            inner = replace(inner, no_defaults="inside additionalProperties applying to object metadata")
        causes += _schema(values, inner)
    embedded = place.root or schema.get("x-kubernetes-embedded-resource")
    for name in sorted(properties):
        inner = replace(place, path=key(child(place.path, "properties"), name), root=False)
        if embedded and name in META:
            inner = replace(inner, inside_meta=True)
            if place.root:
                inner = replace(inner, no_defaults=f"in top-level {name}")
        causes += _schema(properties[name], inner)
    return causes


def _items(schema: Obj, place: Place) -> list[Cause]:
    items, where = schema.get("items"), child(place.path, "items")
    if isinstance(items, list):
        return [
            cause
            for position, inner in enumerate(items)
            for cause in _schema(inner, replace(place, path=f"{where}[{position}]", root=False))
        ]
    return _schema(items, replace(place, path=where, root=False))


def _extensions(schema: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    kind, map_type = schema.get("type") or "", schema.get("x-kubernetes-map-type")
    list_type, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or []
    if schema.get("x-kubernetes-preserve-unknown-fields") is False:
        where = child(path, "x-kubernetes-preserve-unknown-fields")
        causes.append(invalid(where, False, "must be true or undefined"))
    if map_type is not None:
        causes += _typed(kind, "object", "map", path)
        if map_type not in ("atomic", "granular"):
            where = child(path, "x-kubernetes-map-type")
            causes.append(not_supported(where, map_type, ("atomic", "granular")))
    where = child(path, "x-kubernetes-list-type")
    if list_type is not None:
        typed = _typed(kind, "array", "list", path)
        causes += typed or _set_items(schema, path)
        if list_type not in ("atomic", "set", "map"):
            causes.append(not_supported(where, list_type, ("atomic", "set", "map")))
    if keys and list_type != "map":
        text = "must be map if x-kubernetes-list-map-keys is non-empty"
        causes.append(required(where, text) if list_type is None else invalid(where, list_type, text))
    if list_type == "map":
        causes += _map_list(schema, keys, path)
    return causes + _map_list_keys(schema, keys, path)


def _typed(kind: str, wanted: str, what: str, path: str) -> list[Cause]:
    if kind == wanted:
        return []
    text, where = f"must be {wanted} if x-kubernetes-{what}-type is specified", child(path, "type")
    return [invalid(where, kind, text) if kind else required(where, text)]


def _set_items(schema: Obj, path: str) -> list[Cause]:
    items = schema.get("items")
    if schema["x-kubernetes-list-type"] != "set" or not isinstance(items, dict):
        return []
    text, where = "must be atomic as item of a list with x-kubernetes-list-type=set", child(path, "items")
    inner = items.get("x-kubernetes-list-type")
    if items.get("type") == "array" and inner not in (None, "atomic"):
        return [invalid(child(where, "x-kubernetes-list-type"), inner, text)]
    if items.get("type") == "object" and items.get("x-kubernetes-map-type") != "atomic":
        return [invalid(child(where, "x-kubernetes-map-type"), inner, text)]
    return []


def _map_list(schema: Obj, keys: list[str], path: str) -> list[Cause]:
    causes: list[Cause] = []
    items, where = schema.get("items"), child(path, "x-kubernetes-list-map-keys")
    if not keys:
        causes.append(required(where, "must not be empty if x-kubernetes-list-type is map"))
    if items is None:
        text = "must have a schema if x-kubernetes-list-type is map"
        return [*causes, required(child(path, "items"), text)]
    if not isinstance(items, dict):
        return causes
    if items.get("type") != "object":
        text = "must be object if parent array's x-kubernetes-list-type is map"
        return [*causes, invalid(child(child(path, "items"), "type"), items.get("type") or "", text)]
    for position, name in enumerate(keys):
        field = (items.get("properties") or {}).get(name)
        if field is None:
            causes.append(invalid(where, keys, "entries must all be names of item properties"))
        elif field.get("type") in ("array", "object"):
            inner = child(key(child(child(path, "items"), "properties"), name), "type")
            text = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            causes.append(invalid(inner, items["type"], text))
        if name in keys[:position]:
            causes.append(invalid(where, keys, "must not contain duplicate entries"))
    return causes


def _map_list_keys(schema: Obj, keys: list[str], path: str) -> list[Cause]:
    """Elements and their keys must be there."""
    causes: list[Cause] = []
    items, list_type = schema.get("items"), schema.get("x-kubernetes-list-type")
    if not isinstance(items, dict) or list_type not in ("set", "map"):
        return causes
    where = child(path, "items")
    if items.get("nullable"):
        text = f"cannot be nullable when x-kubernetes-list-type is {list_type}"
        causes.append(forbidden(child(where, "nullable"), text))
    for name in keys if list_type == "map" else ():
        field = (items.get("properties") or {}).get(name)
        if field is None:
            continue
        inner = key(child(where, "properties"), name)
        text = "this property is in x-kubernetes-list-map-keys, so it "
        if name not in (items.get("required") or ()) and field.get("default") is None:
            causes.append(
                required(child(inner, "default"), text + "must have a default or be a required property")
            )
        if field.get("nullable"):
            causes.append(forbidden(child(inner, "nullable"), text + "cannot be nullable"))
    return causes


def _rule(schema: Obj, rule: Obj, path: str) -> list[Cause]:
    """The form of a rule; what it says is checked by `rules`."""
    causes = []
    text, message = (rule.get("rule") or "").strip(), rule.get("message") or ""
    expression, place = rule.get("messageExpression") or "", rule.get("fieldPath") or ""
    if not text:
        causes.append(required(child(path, "rule"), "rule is not specified"))
    elif message and not message.strip():
        causes.append(invalid(child(path, "message"), message, "must be non-empty if specified"))
    elif NEWLINE.search(message.strip()):
        causes.append(invalid(child(path, "message"), message, "must not contain line breaks"))
    elif NEWLINE.search(text) and not message.strip():
        detail = "message must be specified if rule contains line breaks"
        causes.append(required(child(path, "message"), detail))
    if expression and not expression.strip():
        detail = "messageExpression must be non-empty if specified"
        causes.append(required(child(path, "messageExpression"), detail))
    if rule.get("reason") is not None and rule["reason"] not in REASONS:
        causes.append(not_supported(child(path, "reason"), rule["reason"], REASONS))
    if place and not place.strip():
        causes.append(invalid(child(path, "fieldPath"), place, "must be non-empty if specified"))
    if NEWLINE.search(place):
        causes.append(invalid(child(path, "fieldPath"), place, "must not contain line breaks"))
    if place and not structure.unreadable(schema) and fieldpath.read(place, schema).error:
        causes.append(invalid(child(path, "fieldPath"), place, "must be a valid path"))
    return causes
