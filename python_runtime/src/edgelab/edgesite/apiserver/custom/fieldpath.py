"""Paths to fields in schemas, as `fieldPath` of rules and selectable fields have them (`ValidFieldPath`)."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

Obj = dict[str, Any]

TOKEN = re.compile(r"'(?:[^'\\]|\\.)*'|[.\[\]]|[^.\[\]]+")
UNESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
UNESCAPED |= {character: character for character in "\\'\""}


class Found(NamedTuple):
    """The path as errors show it, its first part and the schema there; or why there is none."""

    path: str
    root: str
    schema: Obj
    error: str


class _Bad(ValueError):
    pass


def read(text: str, schema: Obj, *, subscripts: bool = True) -> Found:
    """Follow a path."""
    tokens = TOKEN.findall(text)
    path, root, position = "", "", 0
    try:
        while position < len(tokens):
            token, position = tokens[position], position + 1
            if token == "[":  # noqa: S105 - a token of a path
                if not subscripts:
                    raise _Bad("array notation is not allowed")
                name, position = _subscript(tokens, position), position + 2
            elif token == ".":  # noqa: S105
                if position >= len(tokens):
                    raise _Bad("unexpected end of JSON path")
                name, position = tokens[position], position + 1
            else:
                raise _Bad(f"expected [ or . but got: {token}")
            schema, path = _step(schema, name, path)
            root = root or name
    except _Bad as error:
        return Found(path, root, schema, str(error))
    return Found(path, root, schema, "")


def _subscript(tokens: list[str], position: int) -> str:
    rest = tokens[position : position + 2]
    if not rest:
        raise _Bad("unexpected end of JSON path")
    if len(rest[0]) < 2 or rest[0][0] != "'" or rest[0][-1] != "'":
        raise _Bad(f"expected single quoted string but got {rest[0]}")
    name = re.sub(r"\\(.)", lambda match: UNESCAPED.get(match[1], match[1]), rest[0][1:-1])
    if len(rest) < 2:
        raise _Bad("unexpected end of JSON path")
    if rest[1] != "]":
        raise _Bad(f"expected ] but got {rest[1]}")
    return name


def _step(schema: Obj, name: str, path: str) -> tuple[Obj, str]:
    properties, values = schema.get("properties"), schema.get("additionalProperties")
    if properties:
        if name not in properties:
            raise _Bad("does not refer to a valid field")
        return properties[name], f"{path}.{name}" if path else name
    if isinstance(values, dict):
        return values, f"{path}[{name}]"
    raise _Bad("does not refer to a valid field")
