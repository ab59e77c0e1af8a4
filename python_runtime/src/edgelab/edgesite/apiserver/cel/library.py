"""The functions of expressions by name: the standard ones here, the others in their own modules."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from edgelab.edgesite.apiserver.cel import authorizing, kubernetes, networks, sequences, texts, times
from edgelab.edgesite.apiserver.cel.nodes import CelError
from edgelab.edgesite.apiserver.cel.values import (
    NO_OVERLOAD,
    NONE,
    Duration,
    Items,
    Optional,
    Timestamp,
    TypeValue,
    UInt,
    compare,
    equal,
    is_number,
    text,
    type_name,
    whole,
)
from edgelab.edgesite.apiserver.custom import patterns

sorted_by = sequences.sorted_by
FACTOR = 0.1


def _same_numbers(left: Any, right: Any) -> type:
    """The type of both operands. Raises CelError when there is none."""
    for kind in (UInt, float):
        if isinstance(left, kind) and isinstance(right, kind):
            return kind
    if is_number(left) and is_number(right) and type_name(left) == type_name(right) == "int":
        return int
    raise CelError(NO_OVERLOAD)


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, list) and isinstance(right, list):
        return _merged(left, right) if isinstance(left, Items) else [*left, *right]
    if type_name(left) == type_name(right) and isinstance(left, str | bytes):
        return left + right
    if isinstance(left, Duration) and isinstance(right, Duration | Timestamp):
        return type(right)(left.nanos + right.nanos)
    if isinstance(left, Timestamp) and isinstance(right, Duration):
        return Timestamp(left.nanos + right.nanos)
    kind = _same_numbers(left, right)
    return left + right if kind is float else whole(left + right, kind)


def _merged(left: Items, right: list[Any]) -> Items:
    """Lists of type set and map: what is there already is not added, elements with its key replace it."""
    found = Items(left)
    found.keys = left.keys
    for item in right:
        if left.keys:
            own = [item.get(key) for key in left.keys]
            place = next((i for i, old in enumerate(found) if [old.get(k) for k in left.keys] == own), None)
            if place is not None:
                found[place] = item
                continue
        elif any(equal(item, old) for old in found):
            continue
        found.append(item)
    return found


def _subtract(left: Any, right: Any) -> Any:
    if isinstance(left, Timestamp) and isinstance(right, Timestamp):
        return Duration(left.nanos - right.nanos)
    if isinstance(left, Timestamp | Duration) and isinstance(right, Duration):
        return type(left)(left.nanos - right.nanos)
    kind = _same_numbers(left, right)
    return left - right if kind is float else whole(left - right, kind)


def _multiply(left: Any, right: Any) -> Any:
    kind = _same_numbers(left, right)
    return left * right if kind is float else whole(left * right, kind)


def _divide(left: Any, right: Any) -> Any:
    kind = _same_numbers(left, right)
    if kind is float:
        if right == 0:
            return math.nan if left == 0 or math.isnan(left) else math.copysign(math.inf, left)
        return left / right
    if right == 0:
        raise CelError("division by zero")
    return whole(abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1), kind)


def _modulo(left: Any, right: Any) -> Any:
    kind = _same_numbers(left, right)
    if kind is float:
        raise CelError(NO_OVERLOAD)
    if right == 0:
        raise CelError("modulus by zero")
    return kind(int(math.fmod(left, right))) if abs(left) < 2**53 else kind(left - right * int(left / right))


def _negate(value: Any) -> Any:
    if not is_number(value) or isinstance(value, UInt):
        raise CelError(NO_OVERLOAD)
    return -value if isinstance(value, float) else whole(-value)


def _not(value: Any) -> bool:
    if not isinstance(value, bool):
        raise CelError(NO_OVERLOAD)
    return not value


def _in(item: Any, container: Any) -> bool:
    if isinstance(container, list):
        return any(equal(item, inner) for inner in container)
    if isinstance(container, dict):
        return any(equal(item, key) for key in container)
    raise CelError(NO_OVERLOAD)


def _size(value: Any) -> int:
    if isinstance(value, str | bytes | list | dict):
        return len(value)
    raise CelError(NO_OVERLOAD)


def _int(value: Any) -> int:
    if isinstance(value, str):
        if not re.fullmatch(r"[+-]?[0-9]+", value) or not -(2**63) <= int(value) < 2**63:
            raise times.conversion("int")
        return int(value)
    if isinstance(value, Timestamp):
        return value.nanos // 10**9
    if isinstance(value, Duration):
        return value.nanos
    if isinstance(value, float) and not -(2**63) < value < 2**63:
        raise CelError("integer overflow")
    if is_number(value):
        return whole(int(value))
    raise CelError(NO_OVERLOAD)


def _uint(value: Any) -> UInt:
    if isinstance(value, str):
        if not re.fullmatch(r"[0-9]+", value):
            raise times.conversion("uint")
        return UInt(int(value))
    if not is_number(value):
        raise CelError(NO_OVERLOAD)
    return UInt(whole(int(value), UInt))


def _double(value: Any) -> float:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError as error:
            raise times.conversion("double") from error
    if is_number(value):
        return float(value)
    raise CelError(NO_OVERLOAD)


def _bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {"1": True, "t": True, "T": True, "true": True, "TRUE": True, "True": True}
    words |= {"0": False, "f": False, "F": False, "false": False, "FALSE": False, "False": False}
    if isinstance(value, str) and value in words:
        return words[value]
    raise times.conversion("bool")


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)


def _matches(value: Any, pattern: Any) -> bool:
    if not isinstance(value, str) or not isinstance(pattern, str):
        raise CelError(NO_OVERLOAD)
    if problem := patterns.problem(pattern):
        raise CelError(problem)
    return patterns.compiled(pattern).search(value) is not None


def _order(test: Callable[[int], bool]) -> Callable[[Any, Any], bool]:
    return lambda left, right: test(compare(left, right))


def _value(found: Optional) -> Any:
    if not found.present:
        raise CelError("optional.none() dereference")
    return found.value


def _non_zero(value: Any) -> Optional:
    empty = value is None or value is False or (is_number(value) and value == 0)
    empty = empty or (isinstance(value, str | bytes | list | dict) and not value)
    return NONE if empty or value == Duration(0) else Optional(True, value)


def _or_value(found: Any, other: Any) -> Any:
    """What is no optional is taken for its own value."""
    if not isinstance(found, Optional):
        return found
    return found.value if found.present else other


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "!_": _not,
    "-_": _negate,
    "@in": _in,
    "_!=_": lambda left, right: not equal(left, right),
    "_%_": _modulo,
    "_*_": _multiply,
    "_+_": _add,
    "_-_": _subtract,
    "_/_": _divide,
    "_<=_": _order(lambda found: found <= 0),
    "_<_": _order(lambda found: found < 0),
    "_==_": equal,
    "_>=_": _order(lambda found: found >= 0),
    "_>_": _order(lambda found: found > 0),
    "bool": _bool,
    "bytes": _bytes,
    "double": _double,
    "duration": times.duration,
    "dyn": lambda value: value,
    "hasValue": lambda found: found.present,
    "int": _int,
    "matches": _matches,
    "optional.none": lambda: NONE,
    "optional.of": lambda value: Optional(True, value),
    "optional.ofNonZeroValue": _non_zero,
    "or": lambda found, other: found if found.present else other,
    "orValue": _or_value,
    "size": _size,
    "string": text,
    "timestamp": times.timestamp,
    "type": lambda value: TypeValue(type_name(value)),
    "uint": _uint,
    "value": _value,
    **times.FUNCTIONS,
    **texts.FUNCTIONS,
    **sequences.FUNCTIONS,
    **networks.FUNCTIONS,
    **kubernetes.FUNCTIONS,
    **authorizing.FUNCTIONS,
}


def cost(name: str, values: list[Any]) -> int:
    """What a call costs besides one unit: most cost more for longer arguments."""
    if name in authorizing.FUNCTIONS:
        return authorizing.CHECK_COST - 1 if name == "check" else 0
    sizes = [len(value) for value in values if isinstance(value, str | bytes | list)]
    if not sizes:
        return 0
    if name in ("contains", "matches", "find", "findAll") and len(sizes) > 1:
        return math.ceil(sizes[0] * FACTOR) * max(1, math.ceil(sizes[1] * 0.25))
    if name in ("_==_", "_!=_", "_<_", "_>_", "_<=_", "_>=_"):
        return math.ceil(min(sizes) * FACTOR)
    return 0 if name == "size" else math.ceil(sum(sizes) * FACTOR)
