"""Who wants which topic: topic filters in a tree of their levels."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)

REMEMBERED = 512
"""Topics whose subscribers are remembered; then all are forgotten and found anew."""


class _Node(Generic[S]):
    __slots__ = ("below", "here")

    def __init__(self) -> None:
        self.below: dict[str, _Node[S]] = {}
        self.here: dict[S, int] = {}


class Tree(Generic[S]):
    """Subscribers with their QoS, by filter."""

    def __init__(self) -> None:
        self._root: _Node[S] = _Node()
        self._found: dict[str, dict[S, int]] = {}

    def add(self, pattern: str, subscriber: S, qos: int) -> None:
        """Subscribe, or change the QoS of a subscription."""
        self._found.clear()
        node = self._root
        for level in pattern.split("/"):
            node = node.below.setdefault(level, _Node())
        node.here[subscriber] = qos

    def remove(self, pattern: str, subscriber: S) -> None:
        """Unsubscribe; branches that nobody needs are cut off."""
        self._found.clear()
        node, path = self._root, []
        for level in pattern.split("/"):
            path.append((node, level))
            below = node.below.get(level)
            if below is None:
                return
            node = below
        node.here.pop(subscriber, None)
        for parent, level in reversed(path):
            if parent.below[level].below or parent.below[level].here:
                return
            del parent.below[level]

    def match(self, topic: str) -> dict[S, int]:
        """Everyone whose filters cover `topic`, once, with the highest QoS of them. Not to be changed."""
        found = self._found.get(topic)
        if found is None:
            if len(self._found) >= REMEMBERED:
                self._found.clear()
            found = self._found[topic] = self._find(topic)
        return found

    def _find(self, topic: str) -> dict[S, int]:
        found: dict[S, int] = {}
        nodes = [self._root]
        for place, level in enumerate(topic.split("/")):
            wild = place > 0 or not topic.startswith("$")  # MQTT 3.1.1, 4.7.2
            further: list[_Node[S]] = []
            for node in nodes:
                if wild and (rest := node.below.get("#")):
                    _merge(found, rest)
                if wild and (one := node.below.get("+")):
                    further.append(one)
                if same := node.below.get(level):
                    further.append(same)
            nodes = further
        for node in nodes:
            _merge(found, node)
            if rest := node.below.get("#"):  # "sport/#" covers "sport" too
                _merge(found, rest)
        return found


def _merge(found: dict[S, int], node: _Node[S]) -> None:
    for subscriber, qos in node.here.items():
        found[subscriber] = max(qos, found.get(subscriber, 0))
