"""New values of device twins, as lines of the Influx line protocol.

Receives: Device and DeviceStatus events of informers. Gives: one line for each reported property
whose timestamp it has not seen. Remembers one timestamp a property, nothing else.
What is no number cannot become a sample; it is counted, and so is what has no timestamp.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Obj: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[str, str]

MEASUREMENT = "kubeedge_device"
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
NAME = re.compile(r"[^A-Za-z0-9_]")
ESCAPES = str.maketrans({",": r"\,", " ": r"\ ", "=": r"\=", "\n": r"\ "})
NANOSECONDS = 1_000_000


@dataclass(slots=True)
class Counters:
    """What became of reported values."""

    samples: int = 0
    not_numeric: int = 0
    no_timestamp: int = 0


@dataclass(slots=True)
class Twins:
    """Turns objects into lines and hands each to `emit`."""

    emit: Callable[[str], None]
    counters: Counters = field(default_factory=Counters)
    _nodes: dict[Key, str] = field(default_factory=dict)
    _statuses: dict[Key, Obj] = field(default_factory=dict)
    _seen: dict[Key, dict[str, str]] = field(default_factory=dict)

    def on_device(self, event: str, _old: Obj | None, device: Obj) -> None:
        """A Device says on which node it is; a status that came before it is taken up now."""
        key = _key(device)
        if event == "DELETED":
            self._nodes.pop(key, None)
            return
        self._nodes[key] = (device.get("spec") or {}).get("nodeName") or ""
        if key in self._statuses:
            self._take(key, self._statuses[key])

    def on_status(self, event: str, _old: Obj | None, status: Obj) -> None:
        """A DeviceStatus holds the reported values."""
        key = _key(status)
        if event == "DELETED":
            self._statuses.pop(key, None)
            self._seen.pop(key, None)
            return
        self._statuses[key] = status
        if key in self._nodes:
            self._take(key, status)

    def _take(self, key: Key, status: Obj) -> None:
        seen = self._seen.setdefault(key, {})
        for name, value, timestamp in reported(status):
            if seen.get(name) == timestamp:
                continue
            seen[name] = timestamp
            if not timestamp.isdecimal():
                self.counters.no_timestamp += 1
            elif NUMBER.fullmatch(value) is None or math.isinf(float(value)):
                self.counters.not_numeric += 1
            else:
                self.counters.samples += 1
                self.emit(line(key, self._nodes[key], name, value, int(timestamp)))


def reported(status: Obj) -> Iterator[tuple[str, str, str]]:
    """Name, value and timestamp (both text) of each reported property."""
    for twin in (status.get("status") or {}).get("twins") or []:
        now = twin.get("reported") or {}
        if now.get("value") not in (None, ""):
            timestamp = (now.get("metadata") or {}).get("timestamp", "")
            yield twin.get("propertyName", ""), str(now["value"]), str(timestamp)


def line(device: Key, node: str, name: str, value: str, milliseconds: int) -> str:
    """`kubeedge_device,namespace=n,device=d,node=e temperature=1.5 <nanoseconds>`."""
    namespace, device_name = device
    tags = {"namespace": namespace, "device": device_name, "node": node}
    text = "".join(f",{key}={tag.translate(ESCAPES)}" for key, tag in tags.items() if tag)
    field_name = NAME.sub("_", name) or "value"
    return f"{MEASUREMENT}{text} {field_name}={float(value)!r} {milliseconds * NANOSECONDS}"


def _key(obj: Obj) -> Key:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
