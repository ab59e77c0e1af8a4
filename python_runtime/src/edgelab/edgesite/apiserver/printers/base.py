"""What all printers share: ages, joined lists, `<none>`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Any

from edgelab.daemon.clock import parse_rfc3339

Obj = dict[str, Any]
Cells = Callable[[Obj, dt.datetime], list[Any]]
NONE = "<none>"


def age(timestamp: str | None, now: dt.datetime) -> str:
    """How long ago, as kubectl writes it."""
    if not timestamp:
        return "<unknown>"
    return duration(now - parse_rfc3339(timestamp))


def duration(span: dt.timedelta) -> str:
    """`duration.HumanDuration` of apimachinery."""
    seconds = int(span.total_seconds())
    if seconds < -1:
        return "<invalid>"
    if seconds < 120:
        return f"{max(seconds, 0)}s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    for limit, form in (
        (minutes < 10, _two(minutes, "m", seconds % 60, "s")),
        (minutes < 180, f"{minutes}m"),
        (hours < 8, _two(hours, "h", minutes % 60, "m")),
        (hours < 48, f"{hours}h"),
        (hours < 192, _two(days, "d", hours % 24, "h")),
        (days < 730, f"{days}d"),
        (days < 2920, _two(days // 365, "y", days % 365, "d")),
    ):
        if limit:
            return form
    return f"{days // 365}y"


def _two(large: int, unit: str, small: int, small_unit: str) -> str:
    return f"{large}{unit}{small}{small_unit}" if small else f"{large}{unit}"


def joined(items: Iterable[Any], separator: str = ",") -> str:
    """A list in one cell."""
    return separator.join(str(item) for item in items) or NONE


def pairs(labels: dict[str, str] | None) -> str:
    """Labels in one cell."""
    return joined(f"{key}={value}" for key, value in sorted((labels or {}).items()))


def created(obj: Obj, now: dt.datetime) -> str:
    """The age of an object."""
    return age(obj["metadata"].get("creationTimestamp"), now)


def named(obj: Obj, now: dt.datetime) -> list[Any]:
    """The row of a kind that has no table of its own: its name, and when it was created."""
    return [obj["metadata"]["name"], obj["metadata"].get("creationTimestamp", "")]
