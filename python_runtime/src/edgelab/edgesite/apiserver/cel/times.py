"""Durations and moments (`common/types/{duration,timestamp}.go`)."""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from edgelab.edgesite.apiserver.cel import literals
from edgelab.edgesite.apiserver.cel.nodes import CelError
from edgelab.edgesite.apiserver.cel.values import NO_OVERLOAD, Duration, Timestamp


def conversion(wanted: str) -> CelError:
    """Text that does not have the form of a type."""
    return CelError(f"type conversion error from 'string' to '{wanted}'")


def duration(value: Any) -> Duration:
    """`duration(value)`. Raises CelError."""
    if isinstance(value, Duration):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Duration(value)
    found = literals.duration(value)
    if found is None:
        raise conversion("google.protobuf.Duration")
    return found


def timestamp(value: Any) -> Timestamp:
    """`timestamp(value)`. Raises CelError."""
    if isinstance(value, Timestamp):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Timestamp(value * 10**9)
    found = literals.timestamp(value)
    if found is None:
        raise conversion("google.protobuf.Timestamp")
    return found


def _zone(name: str) -> dt.tzinfo:
    if match := re.fullmatch(r"([+-]?)(\d\d):(\d\d)", name):
        minutes = int(match[2]) * 60 + int(match[3])
        return dt.timezone(dt.timedelta(minutes=-minutes if match[1] == "-" else minutes))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise CelError(f"unknown time zone {name}") from error


PARTS: dict[str, Callable[[dt.datetime], int]] = {
    "getDate": lambda moment: moment.day,
    "getDayOfMonth": lambda moment: moment.day - 1,
    "getDayOfWeek": lambda moment: moment.isoweekday() % 7,
    "getDayOfYear": lambda moment: moment.timetuple().tm_yday - 1,
    "getFullYear": lambda moment: moment.year,
    "getHours": lambda moment: moment.hour,
    "getMilliseconds": lambda moment: moment.microsecond // 1000,
    "getMinutes": lambda moment: moment.minute,
    "getMonth": lambda moment: moment.month - 1,
    "getSeconds": lambda moment: moment.second,
}
SPANS = {"getHours": 3600 * 10**9, "getMinutes": 60 * 10**9, "getSeconds": 10**9, "getMilliseconds": 10**6}


def _part(name: str, value: Any, zone: str = "UTC") -> int:
    if isinstance(value, Duration):
        return int(value.nanos / SPANS[name])
    if isinstance(value, Timestamp):
        return PARTS[name](value.at(_zone(zone)))
    raise CelError(NO_OVERLOAD)


FUNCTIONS: dict[str, Callable[..., Any]] = {name: functools.partial(_part, name) for name in PARTS}
