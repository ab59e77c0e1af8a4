"""Validation errors as `k8s.io/apimachinery/pkg/util/validation/field` words them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edgelab.objects.status import ApiError


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that is wrong: the field's path, a machine-readable reason and a sentence."""

    field: str
    reason: str
    message: str


class Shown(dict[str, Any]):
    """A Go struct: its fields stay in their order, while a map is shown sorted."""


OMITTED = object()
"""Given as a value: the message does not show one."""
ESCAPES = str.maketrans({"&": "\\u0026", "<": "\\u003c", ">": "\\u003e"})
QUOTES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\a": "\\a", "\b": "\\b"}
QUOTES |= {"\f": "\\f", "\v": "\\v"}


def quote(text: str) -> str:
    """Go's `%q`."""
    return (
        '"' + "".join(QUOTES.get(char) or (char if char.isprintable() else _hex(char)) for char in text) + '"'
    )


def _hex(char: str) -> str:
    number = ord(char)
    return (
        f"\\x{number:02x}"
        if number < 0x80
        else f"\\u{number:04x}"
        if number < 0x10000
        else f"\\U{number:08x}"
    )


def dump(value: Any, indent: int | None = None) -> str:
    """Go's `json.Marshal`: maps sorted, `<`, `>` and `&` escaped."""
    separators = None if indent else (",", ":")
    return json.dumps(_sorted(value), indent=indent, separators=separators, ensure_ascii=False).translate(
        ESCAPES
    )


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        items = value.items() if isinstance(value, Shown) else sorted(value.items())
        return {key: _sorted(inner) for key, inner in items}
    return [_sorted(item) for item in value] if isinstance(value, list | tuple) else value


def show(value: Any) -> str:
    """A value as Go's error messages quote it."""
    return quote(value) if isinstance(value, str) else dump(value)


def _quoted(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    if character.isprintable():
        return character
    short = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character)
    number = ord(character)
    return short or (f"\\x{number:02x}" if number < 0x80 else f"\\u{number:04x}")


def required(field: str, detail: str = "") -> Cause:
    """The field must be set."""
    return Cause(field, "FieldValueRequired", f"Required value: {detail}" if detail else "Required value")


def bad(field: str, value: Any, detail: str) -> Cause:
    """The value is not acceptable."""
    shown = "Invalid value" if value is OMITTED else f"Invalid value: {show(value)}"
    return Cause(field, "FieldValueInvalid", f"{shown}: {detail}" if detail else shown)


def unsupported(field: str, value: Any, allowed: Iterable[Any]) -> Cause:
    """The value is not one of the allowed ones."""
    choices = ", ".join(show(item) for item in allowed)
    shown = f"Unsupported value: {show('' if value is None else value)}"
    return Cause(field, "FieldValueNotSupported", f"{shown}: supported values: {choices}")


def duplicate(field: str, value: Any, detail: str = "") -> Cause:
    """The value occurs twice."""
    shown = f"Duplicate value: {show(value)}"
    return Cause(field, "FieldValueDuplicate", f"{shown}: {detail}" if detail else shown)


def not_found_value(field: str, value: Any, detail: str = "") -> Cause:
    """What the value names does not exist."""
    shown = f"Not found: {show(value)}"
    return Cause(field, "FieldValueNotFound", f"{shown}: {detail}" if detail else shown)


def forbidden(field: str, detail: str) -> Cause:
    """The field must not be set or changed."""
    return Cause(field, "FieldValueForbidden", f"Forbidden: {detail}")


def too_long(field: str, limit: int) -> Cause:
    """The value has too many bytes."""
    unit = "byte" if limit == 1 else "bytes"
    return Cause(field, "FieldValueTooLong", f"Too long: may not be more than {limit} {unit}")


def too_many(field: str, found: int, limit: int) -> Cause:
    """The list has too many items."""
    unit = "item" if limit == 1 else "items"
    return Cause(field, "FieldValueTooMany", f"Too many: {found}: must have at most {limit} {unit}")


def immutable(field: str, value: Any) -> Cause:
    """The field cannot change."""
    return bad(field, value, "field is immutable")


def invalid(kind: str, group: str, name: str, causes: list[Cause]) -> ApiError:
    """The 422 answer for an object with these errors; a text that occurs twice is said once."""
    texts = list(dict.fromkeys(f"{cause.field}: {cause.message}" for cause in causes))
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    qualified = f"{kind}.{group}" if group else kind
    details = {
        **({"name": name} if name else {}),
        **({"group": group} if group else {}),
        **({"kind": kind} if kind else {}),
        "causes": [
            {"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes
        ],
    }
    return ApiError(422, f"{qualified} {quote(name)} is invalid: {text}", details=details)
