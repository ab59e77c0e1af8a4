"""Structural schemas of custom resources: prune, default, validate.

Wording and order of errors follow kube-openapi's validator as apiextensions-apiserver reports it.
"""

from __future__ import annotations

import copy
import datetime as dt
import functools
import ipaddress
import math
import re
import uuid
from typing import Any

from edgelab.edgesite.apiserver.invalid import Cause, bad, duplicate, required, show, unsupported
from edgelab.edgesite.apiserver.schema import Node
from edgelab.objects.patch.json import same

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def prune(value: Any, node: Node, path: str, unknown: list[str], *, root: bool = False) -> Any:
    """The value without fields that the schema does not have; their paths go to `unknown`."""
    if isinstance(value, list):
        items = node.items
        if items is None:
            return value
        return [prune(inner, items, f"{path}[{i}]", unknown) for i, inner in enumerate(value)]
    if not isinstance(value, dict) or (node.preserves and not node.raw.get("properties")):
        return value
    values, embedded = node.values, root or bool(node.raw.get("x-kubernetes-embedded-resource"))
    result = {}
    for key, inner in value.items():
        full = f"{path}.{key}" if path else key
        field = node.field(key) or values
        if embedded and key in ("apiVersion", "kind", "metadata"):
            result[key] = inner
        elif field is not None:
            result[key] = prune(inner, field, full, unknown)
        elif node.preserves or node.raw.get("additionalProperties") is True:
            result[key] = inner
        else:
            unknown.append(full)
    return result


def default(value: Any, node: Node) -> Any:
    """Fill in defaults, in place where possible; nulls of fields that are not nullable give way."""
    if isinstance(value, list) and node.items is not None:
        for position, inner in enumerate(value):
            value[position] = default(inner, node.items)
    elif isinstance(value, dict):
        for name in node.field_names:
            field = node.field(name)
            if field is None:
                continue
            if value.get(name, ...) is None and not field.raw.get("nullable"):
                del value[name]
            if name not in value and "default" in field.raw:
                value[name] = copy.deepcopy(field.raw["default"])
            if name in value:
                value[name] = default(value[name], field)
        if node.values is not None:
            for key in value:
                value[key] = default(value[key], node.values)
    return value


def validate(value: Any, node: Node, path: str = "") -> list[Cause]:
    """What is wrong with a value."""
    raw = node.raw
    if value is None and raw.get("nullable"):
        return []
    if raw.get("x-kubernetes-int-or-string"):
        if isinstance(value, bool) or not isinstance(value, int | str):
            return [_wrong_type(value, path, "integer,string")]
    elif node.type and not _is(value, node.type):
        return [_wrong_type(value, path, node.type)]
    causes = _combined(value, node, path)
    if "enum" in raw and not any(same(value, choice) for choice in raw["enum"]):
        causes.append(unsupported(path, value, raw["enum"]))
    if isinstance(value, dict):
        causes += _object(value, node, path)
    elif isinstance(value, list):
        causes += _array(value, node, path)
    elif isinstance(value, str):
        causes += _string(value, raw, path)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        causes += _number(value, raw, path)
    return causes


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, TYPES[name])


def _wrong_type(value: Any, path: str, wanted: str) -> Cause:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "integer", float: "number"}
    found = names.get(type(value), "null")
    message = f'Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"'
    return Cause(path or "<nil>", "FieldValueTypeInvalid", message)


def _combined(value: Any, node: Node, path: str) -> list[Cause]:
    raw, causes = node.raw, []
    for inner in raw.get("allOf") or ():
        causes += validate(value, Node(inner), path)
    any_of, one_of = raw.get("anyOf"), raw.get("oneOf")
    if any_of and not raw.get("x-kubernetes-int-or-string") and not _fits(value, any_of):
        causes.append(bad(path, value, f"{path} in body must validate at least one schema (anyOf)"))
    if one_of and _fits(value, one_of) != 1:
        causes.append(bad(path, value, f"{path} in body must validate one and only one schema (oneOf)"))
    if isinstance(raw.get("not"), dict) and not validate(value, Node(raw["not"]), path):
        causes.append(bad(path, value, f"{path} in body must not validate the schema (not)"))
    return causes


def _fits(value: Any, choices: list[dict[str, Any]]) -> int:
    return sum(not validate(value, Node(choice), "") for choice in choices)


def _object(value: dict[str, Any], node: Node, path: str) -> list[Cause]:
    raw, prefix, causes = node.raw, f"{path}." if path else "", []
    if len(value) < raw.get("minProperties", 0):
        text = f"{path} in body should have at least {raw['minProperties']} properties"
        causes.append(bad(path, len(value), text))
    if len(value) > raw.get("maxProperties", math.inf):
        limit = raw["maxProperties"]
        causes.append(
            Cause(path, "FieldValueTooMany", f"Too many: {len(value)}: must have at most {limit} items")
        )
    for name in sorted({*node.field_names, *(raw.get("required") or ())}):
        field = node.field(name)
        if name not in value:
            if name in (raw.get("required") or ()):
                causes.append(required(prefix + name))
        elif field is not None:
            causes += validate(value[name], field, prefix + name)
    if node.values is not None:
        for key in sorted(value):
            causes += validate(value[key], node.values, prefix + key)
    return causes


def _array(value: list[Any], node: Node, path: str) -> list[Cause]:
    raw, causes = node.raw, []
    if len(value) < raw.get("minItems", 0):
        causes.append(bad(path, len(value), f"{path} in body should have at least {raw['minItems']} items"))
    if len(value) > raw.get("maxItems", math.inf):
        limit = raw["maxItems"]
        causes.append(
            Cause(path, "FieldValueTooMany", f"Too many: {len(value)}: must have at most {limit} items")
        )
    if node.items is not None:
        for position, inner in enumerate(value):
            causes += validate(inner, node.items, f"{path}[{position}]")
    return causes + _twice(value, node, path)


def _twice(value: list[Any], node: Node, path: str) -> list[Cause]:
    """Elements that a set or map must not hold twice."""
    if node.list_type not in ("set", "map") and not node.raw.get("uniqueItems"):
        return []
    seen: set[str] = set()
    causes = []
    for position, item in enumerate(value):
        identity = item
        if node.list_type == "map" and isinstance(item, dict):
            identity = {key: item.get(key) for key in node.list_keys}
        if show(identity) in seen:
            causes.append(duplicate(f"{path}[{position}]", identity))
        seen.add(show(identity))
    return causes


@functools.lru_cache(maxsize=256)
def _pattern(text: str) -> re.Pattern[str]:
    """A Go (RE2) expression; what Python writes otherwise is translated."""
    return re.compile(text.replace("\\z", "\\Z").replace("[[:alpha:]]", "[A-Za-z]"))


def _string(value: str, raw: dict[str, Any], path: str) -> list[Cause]:
    causes = []
    if len(value) < raw.get("minLength", 0):
        text = f"{path} in body should be at least {raw['minLength']} chars long"
        causes.append(bad(path, value, text))
    if len(value) > raw.get("maxLength", math.inf):
        message = f"Too long: may not be more than {raw['maxLength']} bytes"
        causes.append(Cause(path, "FieldValueTooLong", message))
    if "pattern" in raw and not _pattern(raw["pattern"]).search(value):
        causes.append(bad(path, value, f"{path} in body should match '{raw['pattern']}'"))
    check = _FORMATS.get(raw.get("format", ""))
    if check is not None and not check(value):
        causes.append(bad(path, value, f'{path} in body must be of type {raw["format"]}: "{value}"'))
    return causes


def _number(value: float, raw: dict[str, Any], path: str) -> list[Cause]:
    causes = []
    low, high = raw.get("minimum", -math.inf), raw.get("maximum", math.inf)
    if value < low or (raw.get("exclusiveMinimum") and value == low):
        word = "greater than" if raw.get("exclusiveMinimum") else "greater than or equal to"
        causes.append(bad(path, value, f"{path} in body should be {word} {low}"))
    if value > high or (raw.get("exclusiveMaximum") and value == high):
        word = "less than" if raw.get("exclusiveMaximum") else "less than or equal to"
        causes.append(bad(path, value, f"{path} in body should be {word} {high}"))
    if raw.get("multipleOf") and value % raw["multipleOf"]:
        causes.append(bad(path, value, f"{path} in body should be a multiple of {raw['multipleOf']}"))
    return causes


def _parses(read: Any) -> Any:
    def check(value: str) -> bool:
        try:
            read(value)
        except ValueError:
            return False
        return True

    return check


_FORMATS: dict[str, Any] = {
    "date-time": _parses(dt.datetime.fromisoformat),
    "date": _parses(dt.date.fromisoformat),
    "ipv4": _parses(ipaddress.IPv4Address),
    "ipv6": _parses(ipaddress.IPv6Address),
    "cidr": _parses(ipaddress.ip_network),
    "uuid": _parses(uuid.UUID),
}
