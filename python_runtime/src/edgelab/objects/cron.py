"""Cron schedules as CronJobs write them: five fields, `@daily`, `@every 1h30m`, `TZ=Europe/Rome ...`.

Facts: github.com/robfig/cron/v3 (`ParseStandard`), which kube-apiserver and the CronJob controller use;
errors are worded as it words them. No I/O but the reading of time zones.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import zoneinfo
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

_STAR = 1 << 63
_MINUTE, _DAY = dt.timedelta(minutes=1), dt.timedelta(days=1)


class _Bounds(NamedTuple):
    low: int
    high: int
    names: dict[str, int] = {}  # noqa: RUF012 - a NamedTuple's default, never changed


def _numbered(names: str, first: int) -> dict[str, int]:
    return {name: number for number, name in enumerate(names.split(), first)}


_MINUTES, _HOURS, _DAYS = _Bounds(0, 59), _Bounds(0, 23), _Bounds(1, 31)
_MONTHS = _Bounds(1, 12, _numbered("jan feb mar apr may jun jul aug sep oct nov dec", 1))
_WEEKDAYS = _Bounds(0, 6, _numbered("sun mon tue wed thu fri sat", 0))
_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


class Schedule(Protocol):
    """When something is due."""

    def next(self, moment: dt.datetime) -> dt.datetime | None:
        """The first time after `moment`; None when there is none within five years."""
        ...


def parse(text: str) -> Schedule:
    """Read a schedule. Raises ValueError."""
    if not text:
        raise ValueError("empty spec string")
    zone: dt.tzinfo | None = None
    if text.startswith(("TZ=", "CRON_TZ=")):
        name, _, text = text.partition(" ")
        name, text = name.partition("=")[2], text.strip()
        try:
            zone = load_zone(name)
        except ValueError as error:
            raise ValueError(f"provided bad location {name}: {error}") from None
    if text.startswith("@every "):
        return Every(_every(text))
    if text.startswith("@"):
        if text not in _MACROS:
            raise ValueError(f"unrecognized descriptor: {text}")
        text = _MACROS[text]
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    bounds = (_MINUTES, _HOURS, _DAYS, _MONTHS, _WEEKDAYS)
    minutes, hours, days, months, weekdays = map(_field, fields, bounds)
    return Fields(minutes, hours, days, months, weekdays, zone)


def _field(text: str, bounds: _Bounds) -> int:
    bits = 0
    for part in filter(None, text.split(",")):
        bits |= _range(part, bounds)
    return bits


def _range(text: str, bounds: _Bounds) -> int:
    """`7`, `1-5`, `*/15`, `mon`, `?` as bits."""
    span, *steps = text.split("/")
    ends = span.split("-")
    star = 0
    if ends[0] in ("*", "?"):
        first, last, star = bounds.low, bounds.high, _STAR
    else:
        first = last = _number(ends[0], bounds.names)
        if len(ends) == 2:
            last = _number(ends[1], bounds.names)
        elif len(ends) > 2:
            raise ValueError(f"too many hyphens: {text}")
    if len(steps) > 1:
        raise ValueError(f"too many slashes: {text}")
    step = 1
    if steps:
        step = _number(steps[0], {})
        last = bounds.high if len(ends) == 1 else last
        star = star if step <= 1 else 0
    _check(text, first, last, step, bounds)
    return sum(1 << number for number in range(first, last + 1, step)) | star


def _check(text: str, first: int, last: int, step: int, bounds: _Bounds) -> None:
    if first < bounds.low:
        raise ValueError(f"beginning of range ({first}) below minimum ({bounds.low}): {text}")
    if last > bounds.high:
        raise ValueError(f"end of range ({last}) above maximum ({bounds.high}): {text}")
    if first > last:
        raise ValueError(f"beginning of range ({first}) beyond end of range ({last}): {text}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    number = int(text)
    if number < 0:
        raise ValueError(f"negative number ({number}) not allowed: {text}")
    return number


_UNITS = {"ns": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}


def duration(text: str) -> float:
    """Go's `time.ParseDuration`, in seconds. Raises ValueError."""
    sign, rest = (-1, text[1:]) if text.startswith("-") else (1, text.removeprefix("+"))
    if rest == "0":
        return 0.0
    if not rest:
        raise ValueError(f'time: invalid duration "{text}"')
    total = 0.0
    while rest:
        match = re.match(r"(\d+\.?\d*|\.\d+)([^\d.]*)", rest)
        if match is None:
            raise ValueError(f'time: invalid duration "{text}"')
        if not match[2]:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if match[2] not in _UNITS:
            raise ValueError(f'time: unknown unit "{match[2]}" in duration "{text}"')
        total += float(match[1]) * _UNITS[match[2]]
        rest = rest[match.end() :]
    return sign * total


def _every(text: str) -> int:
    """Whole seconds, at least one."""
    try:
        return max(1, int(duration(text.removeprefix("@every "))))
    except ValueError as error:
        raise ValueError(f"failed to parse duration {text}: {error}") from None


@dataclass(frozen=True, slots=True)
class Every:
    """At a fixed distance from the last time."""

    seconds: int

    def next(self, moment: dt.datetime) -> dt.datetime:
        """The first time after `moment`."""
        return moment.replace(microsecond=0) + dt.timedelta(seconds=self.seconds)


@dataclass(frozen=True, slots=True)
class Fields:
    """Bits of the five fields; the zone is the machine's when it is None."""

    minutes: int
    hours: int
    days: int
    months: int
    weekdays: int
    zone: dt.tzinfo | None

    def next(self, moment: dt.datetime) -> dt.datetime | None:
        """The first time after `moment`; None when there is none within five years.

        Days are walked on the calendar of the zone, hours and minutes on the time line, so that an hour
        that a change of clocks leaves out is skipped and one that it repeats counts twice.
        """
        zone = self.zone or local_zone()
        time = moment.astimezone(dt.UTC).replace(microsecond=0) + dt.timedelta(seconds=1)
        if time.second:
            time = time.replace(second=0) + _MINUTE
        limit = time.astimezone(zone).year + 5
        while time.astimezone(zone).year <= limit:
            later = self._later(time, zone)
            if later is None:
                return time
            time = later
        return None

    def _later(self, time: dt.datetime, zone: dt.tzinfo) -> dt.datetime | None:
        """The next time that is worth a look; None when this one is it."""
        local = time.astimezone(zone)
        if not self.months >> local.month & 1:
            year, month = divmod(local.year * 12 + local.month, 12)
            return _at(dt.datetime(year, month + 1, 1), zone)
        if not self._is_day(local):
            return _at(dt.datetime(local.year, local.month, local.day) + _DAY, zone)
        if not self.hours >> local.hour & 1:
            return time + dt.timedelta(minutes=60 - local.minute)
        if not self.minutes >> local.minute & 1:
            return time + _MINUTE
        return None

    def _is_day(self, local: dt.datetime) -> bool:
        by_date = bool(self.days >> local.day & 1)
        by_weekday = bool(self.weekdays >> local.isoweekday() % 7 & 1)
        if (self.days | self.weekdays) & _STAR:
            return by_date and by_weekday
        return by_date or by_weekday


def _at(wall: dt.datetime, zone: dt.tzinfo) -> dt.datetime:
    """Midnight in a zone, or the first moment after it where clocks skip it."""
    return wall.replace(tzinfo=zone).astimezone(dt.UTC)


def load_zone(name: str) -> dt.tzinfo:
    """A time zone by its name in the IANA database. Raises ValueError."""
    if name in ("", "UTC"):
        return dt.UTC
    if name == "Local":
        return local_zone()
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"unknown time zone {name}") from None


@lru_cache(maxsize=1)
def local_zone() -> dt.tzinfo:
    """The machine's time zone, with its changes of clocks."""
    name = os.environ.get("TZ")
    if name is not None:
        try:
            return load_zone(name.removeprefix(":"))
        except ValueError:
            return dt.UTC
    try:
        with open("/etc/localtime", "rb") as file:
            return zoneinfo.ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return dt.UTC
