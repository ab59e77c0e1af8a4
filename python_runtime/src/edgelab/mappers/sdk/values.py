"""Values of properties: Python's on the device's side, text on the way to EdgeCore.

The types are those of a DeviceModel (INT FLOAT DOUBLE STRING BOOLEAN BYTES STREAM); bytes travel as base64.
"""

from __future__ import annotations

import base64
import math
from typing import TypeAlias

Value: TypeAlias = bool | int | float | str | bytes

KINDS = ("int", "float", "double", "string", "boolean", "bytes", "stream")


def to_text(value: Value) -> str:
    """A reading as it is reported. Raises ValueError for what no twin can hold."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no reading")
    return str(value)


def from_text(kind: str, text: str) -> Value:
    """A wanted value as the device gets it. Raises ValueError that says what was expected."""
    match kind:
        case "int":
            return _number(int, text, "a whole number")
        case "float" | "double":
            number = _number(float, text, "a number")
            if not math.isfinite(number):
                raise ValueError(f"{text!r}: expected a finite number")
            return number
        case "boolean":
            if text not in ("true", "false"):
                raise ValueError(f"{text!r}: expected true or false")
            return text == "true"
        case "bytes":
            try:
                return base64.b64decode(text, validate=True)
            except ValueError:
                raise ValueError(f"{text!r}: expected base64") from None
    return text


def _number(kind: type[int] | type[float], text: str, what: str) -> int | float:
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{text!r}: expected {what}") from None
