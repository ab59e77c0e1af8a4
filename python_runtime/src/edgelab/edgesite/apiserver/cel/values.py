"""Values of expressions, and what all of them have: equality, order, text (`common/types`).

Integers are int, doubles float; UInt tells unsigned ones apart. Lists, maps, text, bytes and null are
Python's own; objects of a schema are Struct, lists of type set or map are Items.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from edgelab.edgesite.apiserver.cel.nodes import CelError
from edgelab.edgesite.apiserver.custom.golang import number

NO_OVERLOAD = "no such overload"
INT_RANGE = (-(2**63), 2**63 - 1)
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class UInt(int):
    """An unsigned integer."""


class Struct(dict[str, Any]):
    """An object with declared fields; the names are escaped."""


class Items(list[Any]):
    """A list of type set or map: its order does not matter."""

    keys: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Duration:
    """A span of time in nanoseconds."""

    nanos: int


@dataclass(frozen=True, slots=True, order=True)
class Timestamp:
    """Nanoseconds since 1970."""

    nanos: int

    def at(self, zone: dt.tzinfo) -> dt.datetime:
        """The moment in a time zone (to the microsecond)."""
        return (EPOCH + dt.timedelta(microseconds=self.nanos // 1000)).astimezone(zone)


@dataclass(frozen=True, slots=True)
class Optional:
    """A value or none."""

    present: bool
    value: Any = None


NONE = Optional(False)


@dataclass(frozen=True, slots=True)
class TypeValue:
    """A type as a value."""

    name: str


def type_name(value: Any) -> str:
    """The name of a value's type."""
    if value is None:
        return "null_type"
    for kind, name in TYPE_NAMES:
        if isinstance(value, kind):
            return name
    return str(getattr(value, "type_name", "dyn"))


TYPE_NAMES: tuple[tuple[type, str], ...] = (
    (bool, "bool"),
    (UInt, "uint"),
    (int, "int"),
    (float, "double"),
    (str, "string"),
    (bytes, "bytes"),
    (list, "list"),
    (Struct, "object"),
    (dict, "map"),
    (Duration, "google.protobuf.Duration"),
    (Timestamp, "google.protobuf.Timestamp"),
    (Optional, "optional_type"),
    (TypeValue, "type"),
)


def is_number(value: Any) -> bool:
    """int, uint or double."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def equal(left: Any, right: Any) -> bool:
    """`==`; values of different types are different, numbers are compared by value."""
    if is_number(left) and is_number(right):
        return bool(left == right)
    if type_name(left) != type_name(right):
        return False
    if isinstance(left, list):
        return _equal_lists(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, Optional):
        return left.present == right.present and (not left.present or equal(left.value, right.value))
    return bool(left == right)


def _equal_lists(left: list[Any], right: list[Any]) -> bool:
    if len(left) != len(right):
        return False
    if isinstance(left, Items) or isinstance(right, Items):
        return all(any(equal(a, b) for b in right) for a in left)
    return all(equal(a, b) for a, b in zip(left, right, strict=True))


def compare(left: Any, right: Any) -> int:
    """Below, equal or above zero. Raises CelError for values without an order."""
    if is_number(left) and is_number(right):
        if math.isnan(left) or math.isnan(right):
            raise CelError("NaN values cannot be ordered")
        return int(left > right) - int(left < right)
    if type_name(left) != type_name(right) or not isinstance(left, bool | str | bytes | Duration | Timestamp):
        raise CelError(NO_OVERLOAD)
    if isinstance(left, str):
        left, right = left.encode(), right.encode()
    return int(left > right) - int(left < right)


def whole(value: int, kind: type = int) -> int:
    """An integer that fits. Raises CelError."""
    if kind is UInt:
        if not 0 <= value < 2**64:
            raise CelError("unsigned integer overflow")
        return UInt(value)
    if not INT_RANGE[0] <= value <= INT_RANGE[1]:
        raise CelError("integer overflow")
    return value


def text(value: Any) -> str:
    """`string(value)`. Raises CelError."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if is_number(value):
        return _float_text(value) if isinstance(value, float) else str(int(value))
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise CelError("invalid UTF-8 in bytes, cannot convert to string") from error
    if isinstance(value, Duration | Timestamp):
        return duration_text(value) if isinstance(value, Duration) else timestamp_text(value)
    if isinstance(value, str) or hasattr(value, "type_name"):
        return str(value)
    raise CelError(NO_OVERLOAD)


def _float_text(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return number(value)


def duration_text(value: Duration) -> str:
    """Seconds, as protobuf writes a duration."""
    return f"{format(Decimal(value.nanos) / 10**9, 'f')}s"


def timestamp_text(value: Timestamp) -> str:
    """RFC 3339 with as many digits as needed."""
    moment = value.at(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{value.nanos % 10**9:09d}".rstrip("0")
    return f"{moment}.{fraction}Z" if fraction else f"{moment}Z"
