"""New values of device twins, as samples.

Receives: Device and DeviceStatus events of informers. Gives: one sample for each reported property
whose timestamp it has not seen, and each device that is gone. Remembers the last state of each
device and one timestamp a property.
What is no number becomes a sample without one, and is counted; so is what has no timestamp.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Obj: TypeAlias = dict[str, Any]
Device: TypeAlias = tuple[str, str]
"""Namespace and name."""

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
LATEST = 2**63 // 1_000_000
"""Milliseconds (in the year 2262) from which on nanoseconds no longer fit the databases' 64 bits."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One report of one property: the text as it was reported, and the number that it is, if it is one."""

    device: Device
    node: str
    name: str
    value: str
    milliseconds: int
    number: float | None


@dataclass(slots=True)
class Counters:
    """What became of reported values."""

    samples: int = 0
    not_numeric: int = 0
    no_timestamp: int = 0


def _ignore(_device: Device) -> None:
    pass


@dataclass(slots=True)
class Twins:
    """Turns objects into samples and hands each to `emit`; `gone` hears of devices that were deleted."""

    emit: Callable[[Sample], None]
    gone: Callable[[Device], None] = _ignore
    counters: Counters = field(default_factory=Counters)
    nodes: dict[Device, str] = field(default_factory=dict)
    """The node of each Device that there is; empty without one."""
    statuses: dict[Device, Obj] = field(default_factory=dict)
    """The last DeviceStatus of each name, also of one whose Device is not known (yet)."""
    _seen: dict[Device, dict[str, str]] = field(default_factory=dict)

    def on_device(self, event: str, _old: Obj | None, device: Obj) -> None:
        """A Device says on which node it is; a status that came before it is taken up now."""
        key = _key(device)
        if event == "DELETED":
            self._seen.pop(key, None)
            if self.nodes.pop(key, None) is not None:
                self.gone(key)
            return
        self.nodes[key] = (device.get("spec") or {}).get("nodeName") or ""
        if key in self.statuses:
            self._take(key, self.statuses[key])

    def on_status(self, event: str, _old: Obj | None, status: Obj) -> None:
        """A DeviceStatus holds the reported values."""
        key = _key(status)
        if event == "DELETED":
            self.statuses.pop(key, None)
            self._seen.pop(key, None)
            return
        self.statuses[key] = status
        if key in self.nodes:
            self._take(key, status)

    def live(self) -> dict[Device, set[str]]:
        """The devices that there are, with the properties that they report."""
        return {device: set(self._seen.get(device, ())) for device in self.nodes}

    def _take(self, key: Device, status: Obj) -> None:
        before = self._seen.get(key, {})
        now: dict[str, str] = {}
        for name, value, timestamp in reported(status):
            now[name] = timestamp
            if before.get(name) == timestamp:
                continue
            at, as_number = milliseconds(timestamp), number(value)
            if at is None:
                self.counters.no_timestamp += 1
                continue
            if as_number is None:
                self.counters.not_numeric += 1
            else:
                self.counters.samples += 1
            self.emit(Sample(key, self.nodes[key], name, value, at, as_number))
        self._seen[key] = now


def reported(status: Obj) -> Iterator[tuple[str, str, str]]:
    """Name, value and timestamp (both text) of each reported property."""
    for twin in (status.get("status") or {}).get("twins") or []:
        now = twin.get("reported") or {}
        if now.get("value") not in (None, ""):
            timestamp = (now.get("metadata") or {}).get("timestamp", "")
            yield twin.get("propertyName", ""), str(now["value"]), str(timestamp)


def number(text: str) -> float | None:
    """The finite number that a text is; None for any other text."""
    if NUMBER.fullmatch(text) is None:
        return None
    value = float(text)
    return None if math.isinf(value) else value


def milliseconds(timestamp: str) -> int | None:
    """A twin's timestamp, in milliseconds since 1970; None for what no database could keep."""
    if not timestamp.isdecimal() or len(timestamp) > len(str(LATEST)):
        return None
    at = int(timestamp)
    return at if at < LATEST else None


def _key(obj: Obj) -> Device:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
