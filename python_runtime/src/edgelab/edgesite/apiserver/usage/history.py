"""Two readings of each node and container, and what was used between them.

The rules are metrics-server's (`pkg/storage`): a reading that is not newer changes nothing, a container that
has started anew begins anew, and one that is just some seconds old is measured from its start.
"""

from __future__ import annotations

from typing import NamedTuple

from edgelab.edgesite.apiserver.usage.page import BILLION, PodName, Point, Reading

RESOLUTION = 15
"""Seconds between two readings."""
YOUNGEST = 10
"""Seconds that a container must have run for its start to count as a reading."""


class Usage(NamedTuple):
    """`cores` in nanocores and `memory` in bytes at `time`, over a `window` before it; times in ns."""

    cores: int
    memory: int
    time: int
    window: int


class Pair(NamedTuple):
    """The last reading and the one before it."""

    last: Point
    before: Point | None = None

    def then(self, point: Point) -> Pair:
        """With a newer reading."""
        if point.start and point.start >= self.last.time:
            return Pair(point)
        return Pair(point, self.last) if point.time > self.last.time else self

    def usage(self) -> Usage | None:
        """None while there is no second reading, or when a counter went back."""
        last, before = self
        if before is None or last.total < before.total or last.start < before.start:
            return None
        window = last.time - before.time
        return Usage((last.total - before.total) * BILLION // window, last.memory, last.time, window)


class History:
    """By node, so that a node that is gone takes its pods along."""

    def __init__(self) -> None:
        self._nodes: dict[str, Pair] = {}
        self._pods: dict[str, dict[PodName, dict[str, Pair]]] = {}

    def add(self, node: str, reading: Reading) -> None:
        """What the node's kubelet told now; what it tells of no longer is forgotten."""
        known = self._nodes.get(node)
        if reading.node is None:
            self._nodes.pop(node, None)
        else:
            self._nodes[node] = Pair(reading.node) if known is None else known.then(reading.node)
        before = self._pods.get(node, {})
        self._pods[node] = {
            pod: {name: _next(before.get(pod, {}).get(name), point) for name, point in containers.items()}
            for pod, containers in reading.pods.items()
        }

    def keep(self, nodes: set[str]) -> None:
        """Forget all others."""
        for found in (self._nodes, self._pods):
            for node in found.keys() - nodes:
                del found[node]

    def node(self, name: str) -> Usage | None:
        """What a node uses."""
        pair = self._nodes.get(name)
        return None if pair is None else pair.usage()

    def pod(self, node: str, pod: PodName) -> dict[str, Usage] | None:
        """What each container of a pod uses; None until that is known of all of them."""
        pairs = self._pods.get(node, {}).get(pod)
        if not pairs or any(pair.before is None for pair in pairs.values()):
            return None
        return {name: usage for name, pair in sorted(pairs.items()) if (usage := pair.usage()) is not None}


def _next(known: Pair | None, point: Point) -> Pair:
    age = point.time - point.start
    if point.start and YOUNGEST * BILLION <= age < RESOLUTION * BILLION:
        return Pair(point, point._replace(time=point.start, total=0))
    return Pair(point) if known is None else known.then(point)
