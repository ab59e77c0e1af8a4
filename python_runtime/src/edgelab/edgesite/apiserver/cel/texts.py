"""Functions on strings (`ext/strings.go`, `ext/formatting.go`, `library/regex.go`)."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from typing import Any

from edgelab.edgesite.apiserver.cel.nodes import CelError
from edgelab.edgesite.apiserver.cel.values import (
    NO_OVERLOAD,
    Duration,
    Timestamp,
    TypeValue,
    is_number,
    text,
    type_name,
)
from edgelab.edgesite.apiserver.custom import patterns

UPPER = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
CLAUSE = re.compile(r"%(?:%|(?:\.(\d+))?(.))", re.S)
INTEGERS = {"b": "b", "o": "o", "d": "d"}
FORMATTED = {
    "b": ("int bool uint", "only integers and bools can be formatted as binary, was given {}"),
    "d": ("int uint", "decimal clause can only be used on integers, was given {}"),
    "e": ("double", "scientific clause can only be used on doubles, was given {}"),
    "f": ("double", "fixed-point clause can only be used on doubles, was given {}"),
    "o": ("int uint", "octal clause can only be used on integers, was given {}"),
    "x": (
        "int uint string bytes",
        "only integers, byte buffers, and strings can be formatted as hex, was given {}",
    ),
}
FORMATTED["X"] = FORMATTED["x"]
"""The types that a clause takes, and what is said of others."""


def _of_strings(function: Callable[..., Any]) -> Callable[..., Any]:
    """The first two arguments are strings."""

    @functools.wraps(function)
    def run(*args: Any) -> Any:
        if not all(isinstance(arg, str) for arg in args[:2]):
            raise CelError(NO_OVERLOAD)
        return function(*args)

    return run


def _char_at(value: Any, index: int) -> str:
    if not isinstance(value, str):
        raise CelError(NO_OVERLOAD)
    if not 0 <= index <= len(value):
        raise CelError(f"index out of range: {index}")
    return value[index : index + 1]


def index_of(value: str, part: str, offset: int = 0) -> int:
    """Where a part is first found."""
    if offset < 0 or offset > len(value):
        raise CelError(f"index out of range: {offset}")
    return value.find(part, offset)


def last_index_of(value: str, part: str, offset: int | None = None) -> int:
    """Where a part is last found."""
    if offset is None:
        return value.rfind(part)
    if offset < 0 or offset > len(value):
        raise CelError(f"index out of range: {offset}")
    return value.rfind(part, 0, offset + len(part))


def _replace(value: str, old: str, new: str, count: int = -1) -> str:
    return value.replace(old, new, count)


def _split(value: str, separator: str, count: int = -1) -> list[str]:
    if count == 0:
        return []
    parts = list(value) if not separator else value.split(separator)
    if 0 < count < len(parts):
        return [*parts[: count - 1], separator.join(parts[count - 1 :])]
    return parts


def _substring(value: Any, start: int, end: int | None = None) -> str:
    if not isinstance(value, str):
        raise CelError(NO_OVERLOAD)
    stop = len(value) if end is None else end
    for index in (start, stop):
        if not 0 <= index <= len(value):
            raise CelError(f"index out of range: {index}")
    if start > stop:
        raise CelError(f"invalid substring range. start: {start}, end: {stop}")
    return value[start:stop]


def _join(values: Any, separator: str = "") -> str:
    if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
        raise CelError(NO_OVERLOAD)
    return separator.join(values)


def _quote(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\u0007", "\\a").replace("\u000b", "\\v")


def _format(form: str, args: list[Any]) -> str:
    used = iter(args)
    count = 0

    def clause(match: re.Match[str]) -> str:
        nonlocal count
        if match.group() == "%%":
            return "%"
        try:
            value = next(used)
        except StopIteration:
            raise CelError(f"index {count} out of range") from None
        count += 1
        return _clause(match[2], match[1], value)

    return CLAUSE.sub(clause, form)


def _clause(verb: str, precision: str | None, value: Any) -> str:
    if verb == "s":
        return shown(value)
    kinds, problem = FORMATTED.get(verb, ("", ""))
    if kinds and type_name(value) not in kinds.split():
        raise CelError(f"error during formatting: {problem.format(type_name(value))}")
    if verb in INTEGERS and isinstance(value, int):
        return format(int(value), INTEGERS[verb])
    if verb in "xX":
        found = value.encode().hex() if isinstance(value, str) else value
        found = found.hex() if isinstance(found, bytes) else format(found, "x") if is_number(found) else found
        return found.upper() if verb == "X" else str(found)
    if verb in "fe" and is_number(value):
        found = format(float(value), f".{precision or 6}{verb}")
        mantissa, _, exponent = found.partition("e")
        return f"{mantissa}×10{exponent.lstrip('+').translate(RAISED)}" if exponent else found  # noqa: RUF001
    raise CelError(f'could not parse formatting clause: unrecognized formatting clause "{verb}"')


def shown(value: Any) -> str:
    """`%s`."""
    if value is None:
        return "null"
    if isinstance(value, TypeValue):
        return value.name
    if isinstance(value, list):
        return f"[{', '.join(_inner(item) for item in value)}]"
    if isinstance(value, dict):
        pairs = sorted(f"{_inner(key)}:{_inner(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    return text(value)


def _inner(value: Any) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, Timestamp):
        return f'timestamp("{text(value)}")'
    return f'duration("{text(value)}")' if isinstance(value, Duration) else shown(value)


def _find(value: str, pattern: str) -> str:
    match = _compiled(pattern).search(value)
    return "" if match is None else match.group()


def _find_all(value: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match.group() for match in _compiled(pattern).finditer(value)]
    return found if limit < 0 else found[:limit]


def _compiled(pattern: str) -> re.Pattern[str]:
    if patterns.problem(pattern):
        raise CelError(f"Illegal regex: {patterns.problem(pattern)}")
    return patterns.compiled(pattern)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "charAt": _char_at,
    "contains": _of_strings(lambda value, part: part in value),
    "endsWith": _of_strings(lambda value, part: value.endswith(part)),
    "find": _of_strings(_find),
    "findAll": _of_strings(_find_all),
    "format": _format,
    "join": _join,
    "lowerAscii": _of_strings(lambda value: value.translate(LOWER)),
    "replace": _of_strings(_replace),
    "split": _of_strings(_split),
    "startsWith": _of_strings(lambda value, part: value.startswith(part)),
    "strings.quote": _of_strings(_quote),
    "substring": _substring,
    "trim": _of_strings(lambda value: value.strip()),
    "upperAscii": _of_strings(lambda value: value.translate(UPPER)),
}
