"""Text of durations, timestamps and regular expressions."""

from __future__ import annotations

import datetime as dt
import re
from fractions import Fraction

from edgelab.edgesite.apiserver.cel.values import Duration, Timestamp
from edgelab.edgesite.apiserver.custom import formats, patterns

UNITS = {"ns": 1, "us": 1000, "µs": 1000, "μs": 1000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9}
UNITS |= {"h": 3600 * 10**9}
DURATION = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+|[+-]?0")
PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
STAMP = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:\d\d)")
LONG = {"nano": 1, "micro": 1000, "milli": 10**6, "sec": 10**9, "min": 60 * 10**9, "hr": 3600 * 10**9}
LONG |= {"hour": 3600 * 10**9, "day": 86400 * 10**9, "week": 7 * 86400 * 10**9, "wk": 7 * 86400 * 10**9}
SHORT = {"d": 86400 * 10**9, "w": 7 * 86400 * 10**9}


def duration(text: str) -> Duration | None:
    """A duration as Go's time.ParseDuration reads it."""
    if DURATION.fullmatch(text) is None:
        return None
    total = sum(Fraction(number) * UNITS[unit] for number, unit in PART.findall(text))
    return Duration(int(-total if text.startswith("-") else total))


def long_duration(text: str) -> Duration | None:
    """A duration as strfmt reads it: Go's form, or words."""
    found = duration(text)
    if found is not None or not formats.fits("duration", text):
        return found
    total = 0
    for number, unit in re.findall(r"(\d+)\s*([A-Za-zµ]+)", text):
        name = unit.lower()
        scale = UNITS.get(name) or SHORT.get(name)
        scale = scale or next((size for word, size in LONG.items() if name.startswith(word)), 0)
        total += int(number) * scale
    return Duration(total)


def timestamp(text: str) -> Timestamp | None:
    """A moment in RFC 3339."""
    match = STAMP.fullmatch(text)
    if match is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    zone = match[8].upper()
    offset = 0
    if zone != "Z":
        offset = (int(zone[1:3]) * 60 + int(zone[4:6])) * (-1 if zone[0] == "-" else 1)
    try:
        moment = dt.datetime(year, month, day, hour, minute, second, tzinfo=dt.UTC)
    except ValueError:
        return None
    seconds = int(moment.timestamp()) - offset * 60
    fraction = int((match[7] or "0").ljust(9, "0")[:9])
    return Timestamp(seconds * 10**9 + fraction)


def date(text: str) -> Timestamp | None:
    """A day."""
    return timestamp(f"{text}T00:00:00Z")


def bad_literal(function: str, text: str) -> bool:
    """Whether a function would refuse this argument."""
    if function == "duration":
        return duration(text) is None
    if function == "timestamp":
        return timestamp(text) is None
    return bool(patterns.problem(text))
