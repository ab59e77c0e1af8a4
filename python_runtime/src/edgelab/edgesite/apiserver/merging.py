"""Merging a configuration into an object, and taking away what nobody sets any more."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.fieldsets import SELF, Path, Tree, child, element, has, is_atomic, is_keyed
from edgelab.edgesite.apiserver.schema import Node

Obj = dict[str, Any]


def merge(live: Any, config: Any, node: Node | None) -> Any:
    """The value that an apply leaves."""
    if isinstance(live, dict) and isinstance(config, dict) and not is_atomic(node):
        merged = dict(live)
        for key, value in config.items():
            merged[key] = merge(live.get(key), value, child(node, key))
        return merged
    if isinstance(live, list) and isinstance(config, list) and node is not None and is_keyed(node):
        return _lists(live, config, node)
    return config


def _lists(live: list[Any], config: list[Any], node: Node) -> list[Any]:
    """The configuration's elements in its order, the others where the object had them."""
    present = {element(item, node): item for item in live}
    wanted = {element(item, node): item for item in config}
    ours, theirs = list(present), list(wanted)
    shared = [key for key in theirs if key in present]
    merged: list[Any] = []
    left = right = 0
    while left < len(ours) or right < len(theirs):
        upcoming = shared[0] if shared else None
        if left < len(ours):
            key = ours[left]
            if key not in wanted:
                merged.append(present[key])
                left += 1
                continue
            if key != upcoming:  # it was taken already, or its turn comes later
                left += 1
                continue
        if right < len(theirs):
            key = theirs[right]
            merged.append(merge(present[key], wanted[key], node.items) if key in present else wanted[key])
            right += 1
            if key == upcoming:
                shared.pop(0)
    return merged


class Pruner:
    """Takes away members of `before` that are not in `kept`."""

    def __init__(self, kept: Tree, metadata: Node) -> None:
        self._kept = kept
        self._metadata = metadata

    def prune(self, value: Any, node: Node | None, before: Tree, path: Path = ()) -> Any:
        """The value without them; the metadata as such stays."""
        if isinstance(value, dict) and not is_atomic(node):
            return self._map(value, node, before, path)
        if isinstance(value, list) and node is not None and is_keyed(node):
            return self._list(value, node, before, path)
        return value

    def _map(self, value: Obj, node: Node | None, before: Tree, path: Path) -> Obj:
        result = {}
        for key, inner in value.items():
            here = (*path, f"f:{key}")
            below, own = before.get(here[-1]), here == ("f:metadata",)
            if below is None:
                result[key] = inner
            elif own or has(self._kept, here):
                field = self._metadata if own else child(node, key)
                result[key] = self.prune(inner, field, below, here) if below else inner
        return result

    def _list(self, value: list[Any], node: Node, before: Tree, path: Path) -> list[Any]:
        items = []
        for item in value:
            here = (*path, element(item, node))
            below = before.get(here[-1])
            if below is None:
                items.append(item)
            elif (below and SELF not in below) or has(self._kept, here):
                items.append(self.prune(item, node.items, below, here) if below else item)
        return items
