"""A kubelet's `/metrics/resource` (metrics-server's `pkg/scraper/client/resource/decode.go`)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

BILLION = 1_000_000_000
LIMIT = 1 << 63
SERIES = re.compile(r"([a-z_]+)(?:\{([^}]*)\})? (\S+)(?: (-?\d+))?")
LABEL = re.compile(r'(\w+)="([^"]*)"')
PARTS = {
    "node_cpu_usage_seconds_total": "total",
    "node_memory_working_set_bytes": "memory",
    "container_cpu_usage_seconds_total": "total",
    "container_memory_working_set_bytes": "memory",
    "container_start_time_seconds": "start",
}
PodName = tuple[str, str]
"""Namespace and name."""


class Point(NamedTuple):
    """`time` and `start` in ns since 1970 (0: not told), `total` in core-nanoseconds, `memory` in bytes."""

    time: int
    total: int
    memory: int
    start: int = 0


@dataclass(slots=True)
class Reading:
    """What a kubelet told once: its node, and the containers of each pod by name."""

    node: Point | None = None
    pods: dict[PodName, dict[str, Point]] = field(default_factory=dict)


def read(text: str, now: int) -> Reading:
    """A page that came at `now` (ns since 1970), which counts where it gives no time. Raises ValueError.

    A node or pod of which something is missing is left out, and so is a pod that has used no CPU yet.
    """
    node: dict[str, int] = {}
    containers: defaultdict[PodName, dict[str, dict[str, int]]] = defaultdict(dict)
    for name, labels, value, time in _series(text):
        if name.startswith("node_"):
            found = node
        else:
            pod = labels.get("namespace", ""), labels.get("pod", "")
            found = containers[pod].setdefault(labels.get("container", ""), {})
        part = PARTS[name]
        found[part] = _bounded(name, value if part == "memory" else value * BILLION)
        if part != "start":
            found["time"] = now if time is None else _bounded(name, time * 1_000_000)
    reading = Reading(_point(node))
    for pod, parts in containers.items():
        points = {name: point for name, made in parts.items() if (point := _point(made)) is not None}
        if len(points) == len(parts):
            reading.pods[pod] = points
    return reading


def _bounded(name: str, value: float) -> int:
    """What Go's int64 can hold, as times before the year 2262 are. Raises ValueError."""
    if not 0 <= value < LIMIT:
        raise ValueError(f"{name} says {value:g}")
    return int(value)


def _series(text: str) -> Iterator[tuple[str, dict[str, str], float, int | None]]:
    """The lines that matter: name, labels, value, time in ms."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith(("node_", "container_")):
            continue
        match = SERIES.fullmatch(line.rstrip())
        if match is None:
            raise ValueError(f"line {number} is no sample: {line[:80]!r}")
        if match[1] in PARTS:
            labels = dict(LABEL.findall(match[2] or ""))
            yield match[1], labels, float(match[3]), None if match[4] is None else int(match[4])


def _point(found: dict[str, int]) -> Point | None:
    if not found.get("total") or not found.get("memory"):
        return None
    return Point(found["time"], found["total"], found["memory"], found.get("start", 0))
