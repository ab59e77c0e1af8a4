"""Durations as Go's configuration files write them: `1m30s`, `200ms`, `4h`, `0s`."""

from __future__ import annotations

import re

UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def seconds(text: str) -> float:
    """The seconds that `text` stands for. Raises ValueError for anything Go's ParseDuration refuses."""
    body = text[1:] if text[:1] in "+-" else text
    if body == "0":
        return 0.0
    total, position = 0.0, 0
    while found := _PART.match(body, position):
        total += float(found[1]) * UNITS[found[2]]
        position = found.end()
    if not body or position != len(body):
        raise ValueError(f"{text!r} is no duration; write it like 90s, 1m30s or 200ms")
    return -total if text[0] == "-" else total
