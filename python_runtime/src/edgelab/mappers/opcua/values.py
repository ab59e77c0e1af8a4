"""Values of nodes as properties have them, and the other way."""

from __future__ import annotations

import datetime as dt
from typing import Any

from edgelab.mappers.sdk.driver import BadValue
from edgelab.mappers.sdk.values import Value, from_text, to_text

WHOLE = {
    **{"SByte": (-(2**7), 2**7 - 1), "Byte": (0, 2**8 - 1), "Int16": (-(2**15), 2**15 - 1)},
    **{"UInt16": (0, 2**16 - 1), "Int32": (-(2**31), 2**31 - 1), "UInt32": (0, 2**32 - 1)},
    **{"Int64": (-(2**63), 2**63 - 1), "UInt64": (0, 2**64 - 1)},
}
"""Limits of OPC UA's whole numbers (OPC 10000-6, 5.1.2)."""
FRACTIONS = {"Float": 3.4028234663852886e38, "Double": 1.7976931348623157e308}


def reading(kind: str, value: Any) -> Value:
    """A node's value as one of a property's type. Raises ValueError."""
    if isinstance(value, dt.datetime):
        value = value.replace(tzinfo=value.tzinfo or dt.UTC).isoformat().replace("+00:00", "Z")
    if value is None or not isinstance(value, bool | int | float | str | bytes):
        text = getattr(value, "Text", None)  # LocalizedText
        if not isinstance(text, str):
            raise ValueError(f"the node has {type(value).__name__}, which no property can hold")
        value = text
    match kind:
        case "boolean" if not isinstance(value, str | bytes):
            return bool(value)
        case "int" if isinstance(value, bool | int | float):
            return round(value)
        case "float" | "double" if isinstance(value, bool | int | float):
            return float(value)
        case "string":
            return value if isinstance(value, str) else to_text(value)
        case "bytes":
            return value if isinstance(value, bytes) else to_text(value).encode()
    return from_text(kind, to_text(value))


def writing(kind: str, value: Value) -> Any:
    """A property's value as one of the node's variant type, by its name. Raises BadValue."""
    try:
        if kind in WHOLE:
            return _whole(kind, value)
        if kind in FRACTIONS:
            number = float(value)
            if abs(number) > FRACTIONS[kind]:
                raise BadValue(f"{value!r}: does not fit into {kind}")
            return number
        match kind:
            case "Boolean":
                return from_text("boolean", value.lower()) if isinstance(value, str) else bool(value)
            case "String":
                return to_text(value)
            case "ByteString":
                return value if isinstance(value, bytes) else to_text(value).encode()
            case "DateTime":
                return dt.datetime.fromisoformat(str(value)).astimezone(dt.UTC).replace(tzinfo=None)
    except BadValue:
        raise
    except (ValueError, TypeError):
        raise BadValue(f"{value!r}: the node takes {kind}") from None
    raise BadValue(f"the node's type {kind} cannot be written")


def _whole(kind: str, value: Value) -> int:
    number = int(value) if isinstance(value, str | bytes) else value
    low, high = WHOLE[kind]
    if number != int(number) or not low <= number <= high:
        raise BadValue(f"{value!r}: {kind} takes whole numbers from {low} to {high}")
    return int(number)
