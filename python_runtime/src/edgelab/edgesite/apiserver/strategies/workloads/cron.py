"""Schedules as `robfig/cron` reads them, with its errors, and time zones."""

from __future__ import annotations

import re
import zoneinfo

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
FIELDS: tuple[tuple[int, int, dict[str, int]], ...] = (
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number + 1 for number, name in enumerate(MONTHS)}),
    (0, 6, {name: number for number, name in enumerate(DAYS)}),
)
DESCRIPTORS = ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
UNITS = ("ns", "us", "µs", "μs", "ms", "s", "m", "h")
ZONE_PART = r"[A-Za-z\.\-_0-9+]{1,14}"


class ScheduleError(ValueError):
    """A schedule that cannot be read."""


def problem(schedule: str) -> str:
    """What is wrong with a schedule; empty when nothing is."""
    try:
        _parse(schedule)
    except ScheduleError as error:
        return str(error)
    return ""


def _parse(spec: str) -> None:
    if spec.startswith(("TZ=", "CRON_TZ=")):
        head, _, spec = spec.partition(" ")
        zone = head.partition("=")[2]
        if zone_problem(zone):
            raise ScheduleError(f"provided bad location {zone}: unknown time zone {zone}")
        spec = spec.strip()
    if spec.startswith("@"):
        _descriptor(spec)
        return
    fields = spec.split()
    if len(fields) != len(FIELDS):
        raise ScheduleError(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    for field, (low, high, names) in zip(fields, FIELDS, strict=True):
        for part in filter(None, field.split(",")):
            _range(part, low, high, names)


def _descriptor(spec: str) -> None:
    if spec.startswith("@every "):
        text = spec.removeprefix("@every ")
        wrong = _duration(text)
        if wrong:
            raise ScheduleError(f"failed to parse duration {spec}: {wrong}")
    elif spec not in DESCRIPTORS:
        raise ScheduleError(f"unrecognized descriptor: {spec}")


def _duration(text: str) -> str:
    rest = text.lstrip("+-") if text[:1] in "+-" else text
    if rest == "0":
        return ""
    if not rest:
        return f'time: invalid duration "{text}"'
    while rest:
        match = re.match(r"(\d+\.?\d*|\.\d+)([^\d.]*)", rest)
        if match is None:
            return f'time: invalid duration "{text}"'
        if not match[2]:
            return f'time: missing unit in duration "{text}"'
        if match[2] not in UNITS:
            return f'time: unknown unit "{match[2]}" in duration "{text}"'
        rest = rest[match.end() :]
    return ""


def _range(text: str, low: int, high: int, names: dict[str, int]) -> None:
    span, *steps = text.split("/")
    ends = span.split("-")
    if ends[0] in ("*", "?"):
        start, end = low, high
    else:
        start = end = _number(ends[0], names)
        if len(ends) == 2:
            end = _number(ends[1], names)
        elif len(ends) > 2:
            raise ScheduleError(f"too many hyphens: {text}")
    step = 1
    if len(steps) == 1:
        step = _number(steps[0], {})
        end = high if len(ends) == 1 else end
    elif len(steps) > 1:
        raise ScheduleError(f"too many slashes: {text}")
    if start < low:
        raise ScheduleError(f"beginning of range ({start}) below minimum ({low}): {text}")
    if end > high:
        raise ScheduleError(f"end of range ({end}) above maximum ({high}): {text}")
    if start > end:
        raise ScheduleError(f"beginning of range ({start}) beyond end of range ({end}): {text}")
    if step == 0:
        raise ScheduleError(f"step of range should be a positive number: {text}")


def _number(text: str, names: dict[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not re.fullmatch("[+-]?[0-9]+", text):
        reason = f'strconv.Atoi: parsing "{text}": invalid syntax'
        raise ScheduleError(f"failed to parse int from {text}: {reason}")
    number = int(text)
    if number < 0:
        raise ScheduleError(f"negative number ({number}) not allowed: {text}")
    return number


def zone_problem(name: str) -> str:
    """What is wrong with a time zone; a host without a database of zones knows none and takes all."""
    if any(part in (".", "..") or part.startswith("-") for part in name.split("/")):
        return f"unknown time zone {name}"
    if not all(re.fullmatch(ZONE_PART, part) for part in name.split("/")):
        return f"unknown time zone {name}"
    if name.lower() == "local":
        return "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
    if name == "UTC" or _known(name) or not _known("Etc/UTC"):
        return ""
    return f"unknown time zone {name}"


def _known(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
