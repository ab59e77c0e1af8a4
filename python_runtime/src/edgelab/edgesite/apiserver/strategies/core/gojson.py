"""What Go's `json.Unmarshal` says of a document."""

from __future__ import annotations

import json
from typing import Any

NAMES: dict[type[Any], str] = {list: "array", str: "string", bool: "bool", int: "number", float: "number"}


def unmarshal_error(document: bytes, wanted: str) -> str:
    """Its error for a document that should be an object; empty when it is one."""
    text = document.decode("utf-8", "replace")
    if not text.strip():
        return "unexpected end of JSON input"
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        return _syntax(text, error.pos)
    if found is None or isinstance(found, dict):
        return ""
    return f"json: cannot unmarshal {NAMES[type(found)]} into Go value of type {wanted}"


def _syntax(text: str, position: int) -> str:
    rest = text[position:].lstrip()
    if not rest:
        return "unexpected end of JSON input"
    before = text[:position].rstrip()
    where = "looking for beginning of value"
    if before.endswith("{"):
        where = "looking for beginning of object key string"
    elif before.endswith(","):
        where = "looking for beginning of object key string" if "{" in before else where
    elif before.endswith('"') and not before.endswith(':"'):
        where = "after object key"
    elif before and before[-1] in "}]0123456789":
        where = "after top-level value" if before[-1] in "}]" else "after object key:value pair"
    if not before and rest[0] in "tfn":
        word = {"t": "true", "f": "false", "n": "null"}[rest[0]]
        for number, char in enumerate(rest):
            if number >= len(word) or char != word[number]:
                return f"invalid character '{char}' in literal {word} (expecting '{word[number]}')"
        return "unexpected end of JSON input"
    return f"invalid character '{rest[0]}' {where}"
