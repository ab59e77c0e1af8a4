"""Which part of the old object is the same part of the new one (`apiserver/pkg/cel/common/equality.go`)."""

from __future__ import annotations

from typing import Any

import msgspec

from edgelab.edgesite.apiserver.schema import Node
from edgelab.objects.patch.json import same


def list_key(item: Any, keys: list[str]) -> bytes | None:
    """What identifies an element of a list of type map; None for something that is no object."""
    if not isinstance(item, dict):
        return None
    return msgspec.json.encode([item.get(name) for name in keys])


def by_key(items: Any, node: Node) -> dict[bytes, Any]:
    """The elements of a list of type map by what identifies them; the first one wins."""
    found: dict[bytes, Any] = {}
    for item in items if isinstance(items, list) else ():
        name = list_key(item, node.list_keys)
        if name is not None:
            found.setdefault(name, item)
    return found


class Correlation:
    """A value, the value that it had, and its schema."""

    __slots__ = ("_elements", "_equal", "_node", "new", "old")

    def __init__(self, new: Any, old: Any, node: Node) -> None:
        self.new = new
        self.old = old
        self._node = node
        self._elements: dict[bytes, Any] | None = None
        self._equal: bool | None = None

    @property
    def unchanged(self) -> bool:
        """Whether the value is what it was."""
        if self._equal is None:
            self._equal = same(self.new, self.old)
        return self._equal

    def key(self, name: str) -> Correlation | None:
        """The correlation of a field or of a map's value."""
        if not isinstance(self.new, dict) or not isinstance(self.old, dict):
            return None
        node = self._node.field(name) or self._node.values
        if name not in self.new or name not in self.old or node is None:
            return None
        return Correlation(self.new[name], self.old[name], node)

    def index(self, position: int) -> Correlation | None:
        """The correlation of an element; only lists of type map have one."""
        if not isinstance(self.new, list) or not isinstance(self.old, list):
            return None
        node = self._node.items
        if self._node.list_type != "map" or node is None:
            return None
        if self._elements is None:
            self._elements = by_key(self.old, self._node)
        name = list_key(self.new[position], self._node.list_keys)
        found = self._elements.get(name) if name is not None else None
        return None if found is None else Correlation(self.new[position], found, node)
