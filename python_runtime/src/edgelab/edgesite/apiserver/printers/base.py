"""What all printers share: ages, joined lists, `<none>`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from edgelab.daemon.clock import parse_rfc3339

Obj = dict[str, Any]
NONE = "<none>"


@dataclass(frozen=True, slots=True)
class Printer:
    """`columns` are (name, type, priority); priority 1 is for `-o wide`."""

    columns: tuple[tuple[str, str, int], ...]
    cells: Callable[[Obj, dt.datetime], list[Any]]

    @staticmethod
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
    return Printer.age(obj["metadata"].get("creationTimestamp"), now)


def columns(*names: str) -> tuple[tuple[str, str, int], ...]:
    """Columns from `Name`, `Ready:integer`, `+IP` (wide)."""
    result = []
    for text in names:
        name, _, kind = text.lstrip("+").partition(":")
        result.append((name, kind or "string", 1 if text.startswith("+") else 0))
    return tuple(result)


GENERIC = Printer(
    columns("Name", "Created At:date"),
    lambda obj, now: [obj["metadata"]["name"], obj["metadata"].get("creationTimestamp", "")],
)
