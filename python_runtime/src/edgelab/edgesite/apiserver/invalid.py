"""Validation errors as `k8s.io/apimachinery/pkg/util/validation/field` words them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from edgelab.objects.status import ApiError


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that is wrong: the field's path, a machine-readable reason and a sentence."""

    field: str
    reason: str
    message: str


def show(value: Any) -> str:
    """A value as Go's error messages quote it: JSON."""
    return msgspec.json.encode(value).decode()


def required(field: str, detail: str = "") -> Cause:
    """The field must be set."""
    return Cause(field, "FieldValueRequired", f"Required value: {detail}" if detail else "Required value")


def bad(field: str, value: Any, detail: str) -> Cause:
    """The value is not acceptable."""
    return Cause(field, "FieldValueInvalid", f"Invalid value: {show(value)}: {detail}")


def unsupported(field: str, value: Any, allowed: list[Any]) -> Cause:
    """The value is not one of the allowed ones."""
    choices = ", ".join(show(item) for item in allowed)
    return Cause(
        field, "FieldValueNotSupported", f"Unsupported value: {show(value)}: supported values: {choices}"
    )


def duplicate(field: str, value: Any) -> Cause:
    """The value occurs twice."""
    return Cause(field, "FieldValueDuplicate", f"Duplicate value: {show(value)}")


def forbidden(field: str, detail: str) -> Cause:
    """The field must not be set or changed."""
    return Cause(field, "FieldValueForbidden", f"Forbidden: {detail}")


def immutable(field: str, value: Any) -> Cause:
    """The field cannot change."""
    return bad(field, value, "field is immutable")


def invalid(kind: str, group: str, name: str, causes: list[Cause]) -> ApiError:
    """The 422 answer for an object with these errors."""
    texts = [f"{cause.field}: {cause.message}" for cause in causes]
    texts = list(dict.fromkeys(texts))
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    qualified = f"{kind}.{group}" if group else kind
    details = {
        **({"name": name} if name else {}),
        **({"group": group} if group else {}),
        "kind": kind,
        "causes": [
            {"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes
        ],
    }
    return ApiError(422, f'{qualified} "{name}" is invalid: {text}', details=details)
