"""Times as Go's `time.Parse` reads them: RFC 3339, and with exactly six digits of a second for MicroTime."""

from __future__ import annotations

import datetime as dt
import re

from edgelab.edgesite.apiserver.invalid import quote

LAYOUT = "2006-01-02T15:04:05Z07:00"
MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"
# what is read one after the other: how Go's layouts name it, and what it looks like
PARTS = (
    ("2006", r"\d{4}"),
    ("-", "-"),
    ("01", r"\d\d"),
    ("-", "-"),
    ("02", r"\d\d"),
    ("T", "T"),
    ("15", r"\d\d?"),
    (":", ":"),
    ("04", r"\d\d"),
    (":", ":"),
    ("05", r"\d\d"),
)
PLAIN = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{6}))?Z", re.ASCII)
FRACTION = re.compile(r"[.,]\d+", re.ASCII)
ZONE = re.compile(r"Z|[+-]\d\d:\d\d", re.ASCII)
PATTERNS = tuple((name, re.compile(pattern, re.ASCII)) for name, pattern in PARTS)
RANGES = {"01": (1, 12, "month"), "15": (0, 23, "hour"), "04": (0, 59, "minute"), "05": (0, 59, "second")}


def parse(text: str, *, micro: bool = False) -> dt.datetime:
    """The moment. Raises ValueError in Go's words."""
    try:
        return _plain(text, micro)
    except ValueError:
        return _slow(text, MICRO_LAYOUT if micro else LAYOUT, micro)


def _plain(text: str, micro: bool) -> dt.datetime:
    """What nearly everybody sends."""
    match = PLAIN.fullmatch(text)
    if match is None or (match[7] is not None) != micro:
        raise ValueError
    year, month, day, hour, minute, second, micros = map(int, match.groups("0"))
    return dt.datetime(year, month, day, hour, minute, second, micros, dt.UTC)


def _slow(text: str, layout: str, micro: bool) -> dt.datetime:
    rest, found = text, []
    for name, pattern in PATTERNS:
        match = pattern.match(rest)
        if match is None:
            raise _wrong(text, layout, rest, name)
        if name in RANGES:
            low, high, what = RANGES[name]
            if not low <= int(match[0]) <= high:
                raise ValueError(f"parsing time {quote(text)}: {what} out of range")
        found += [int(match[0])] if match[0].isdecimal() else []
        rest = rest[match.end() :]
    fraction, rest = _fraction(text, layout, rest, micro)
    zone = ZONE.match(rest)
    if zone is None:
        raise _wrong(text, layout, rest, "Z07:00")
    if extra := rest[zone.end() :]:
        raise ValueError(f"parsing time {quote(text)}: extra text: {quote(extra)}")
    return _moment(text, found, fraction, zone[0])


def _fraction(text: str, layout: str, rest: str, micro: bool) -> tuple[int, str]:
    """Microseconds, and what comes after them."""
    match = FRACTION.match(rest)
    if not micro:
        return (0, rest) if match is None else (int(match[0][1:7].ljust(6, "0")), rest[match.end() :])
    if match is None or len(match[0]) < 7:
        raise _wrong(text, layout, rest, ".000000")
    return int(match[0][1:7]), rest[7:]


def _moment(text: str, found: list[int], micros: int, zone: str) -> dt.datetime:
    year, month, day, hour, minute, second = found
    try:
        moment = dt.datetime(year or 1, month, day, hour, minute, second, micros)
    except ValueError as error:
        raise ValueError(f"parsing time {quote(text)}: day out of range") from error
    if zone == "Z":
        return moment.replace(tzinfo=dt.UTC)
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if hours > 24 or minutes > 60:
        what = "hour" if hours > 24 else "minute"
        raise ValueError(f"parsing time {quote(text)}: time zone offset {what} out of range")
    offset = dt.timedelta(hours=hours, minutes=minutes) * (-1 if zone[0] == "-" else 1)
    try:
        return (moment - offset).replace(tzinfo=dt.UTC)
    except OverflowError:
        return moment.replace(tzinfo=dt.UTC)


def _wrong(text: str, layout: str, rest: str, element: str) -> ValueError:
    return ValueError(
        f"parsing time {quote(text)} as {quote(layout)}: cannot parse {quote(rest)} as {quote(element)}"
    )
