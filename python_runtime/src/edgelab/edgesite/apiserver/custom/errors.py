"""Validation errors of definitions and custom objects (`apimachinery/pkg/util/validation/field`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edgelab.edgesite.apiserver.custom import golang
from edgelab.edgesite.apiserver.invalid import Cause, forbidden, required

NOWHERE = "<nil>"
BLOCKING = (
    "FieldValueNotSupported",
    "FieldValueRequired",
    "FieldValueTooLong",
    "FieldValueTooMany",
    "FieldValueTypeInvalid",
)

__all__ = [
    "Cause",
    "blocks",
    "child",
    "duplicate",
    "forbidden",
    "invalid",
    "key",
    "not_supported",
    "required",
    "too_long",
    "too_many",
    "type_invalid",
]


def child(path: str, name: str) -> str:
    """A field below a path; the empty path is the root."""
    return f"{path}.{name}" if path else name


def key(path: str, name: str) -> str:
    """A subscript below a path."""
    return f"{path}[{name}]"


def invalid(path: str, value: Any, detail: str) -> Cause:
    """The value is not acceptable."""
    text = f"Invalid value: {golang.bad_value(value)}"
    return Cause(path or NOWHERE, "FieldValueInvalid", f"{text}: {detail}" if detail else text)


def type_invalid(path: str, value: Any, detail: str) -> Cause:
    """The value has the wrong type or format."""
    return Cause(
        path or NOWHERE, "FieldValueTypeInvalid", f"Invalid value: {golang.bad_value(value)}: {detail}"
    )


def not_supported(path: str, value: Any, choices: Iterable[str]) -> Cause:
    """The value is not one of the allowed ones."""
    listed = ", ".join(golang.quote(choice) for choice in choices)
    text = f"Unsupported value: {golang.bad_value(value)}: supported values: {listed}"
    return Cause(path or NOWHERE, "FieldValueNotSupported", text)


def duplicate(path: str, value: Any) -> Cause:
    """The value occurs twice."""
    return Cause(path or NOWHERE, "FieldValueDuplicate", f"Duplicate value: {golang.bad_value(value)}")


def too_long(path: str, limit: int) -> Cause:
    """A string with too many characters."""
    unit = "byte" if limit == 1 else "bytes"
    text = f"Too long: may not be more than {limit} {unit}"
    return Cause(path or NOWHERE, "FieldValueTooLong", text)


def too_many(path: str, size: int, limit: int) -> Cause:
    """A list or a map with too many elements."""
    unit = "item" if limit == 1 else "items"
    text = f"Too many: {size}: must have at most {limit} {unit}"
    return Cause(path or NOWHERE, "FieldValueTooMany", text)


def blocks(causes: list[Cause]) -> bool:
    """Whether rules cannot be evaluated on an object with these errors."""
    return any(cause.reason in BLOCKING for cause in causes)
