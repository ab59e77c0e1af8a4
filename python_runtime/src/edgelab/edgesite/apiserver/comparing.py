"""Which fields an object sets, and in which two objects differ (structured-merge-diff `typed`)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from edgelab.edgesite.apiserver.conform import ZEROS
from edgelab.edgesite.apiserver.encoding import fresh
from edgelab.edgesite.apiserver.fieldsets import SELF, Tree, child, element, is_atomic, is_keyed
from edgelab.edgesite.apiserver.schema import Node
from edgelab.objects.patch.json import same

Obj = dict[str, Any]
Sets = tuple[Tree | None, Tree | None, Tree | None]

ABSENT: Any = object()
encode = msgspec.json.encode
NOTHING: Sets = (None, None, None)
# never owned: they are the server's, or say what the object is
NOT_OWNED = ("apiVersion", "kind")
METADATA_NOT_OWNED = frozenset(
    (
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "generation",
        "managedFields",
        "resourceVersion",
    )
)
# structs that are no pointers in Go: they are there even in a new, empty object
EMBEDDED = frozenset(
    (
        "metadata",
        "spec",
        "status",
        "strategy",
        "updateStrategy",
        "template",
        "jobTemplate",
        "resources",
        "loadBalancer",
        "roleRef",
        "involvedObject",
        "source",
        "regarding",
        "podSelector",
        "nodeInfo",
        "daemonEndpoints",
        "kubeletEndpoint",
        "kubeletEndpoint",
        "names",
        "acceptedNames",
        "scaleTargetRef",
    )
)


# what is written though it is not required, and is there in a new, empty object
WRITTEN: dict[str, Obj] = {
    "io.k8s.api.rbac.v1.ClusterRole": {"rules": None},
    "io.k8s.api.rbac.v1.Role": {"rules": None},
    "io.k8s.api.scheduling.v1.PriorityClass": {"value": 0},
}


def owned(obj: Obj) -> Obj:
    """An object without what nobody owns."""
    metadata = obj.get("metadata") or {}
    kept = {key: value for key, value in metadata.items() if key not in METADATA_NOT_OWNED}
    rest = {key: value for key, value in obj.items() if key not in NOT_OWNED and key != "metadata"}
    return {"metadata": kept, **rest}


@lru_cache(maxsize=128)
def skeleton(node: Node) -> Obj:
    """What a new object of a Go type has before anything is set: structs, and required fields empty.

    Made once for a type; do not change it.
    """
    result: Obj = {key: fresh(zero) for key, zero in node.encoding.filled}
    result |= WRITTEN.get(node.name, {})
    for name in node.field_names:
        field = node.field(name)
        if name in EMBEDDED and field is not None and field.type == "object" and field.values is None:
            result[name] = skeleton(field) if name != "metadata" else {}
        elif name in node.required:
            result[name] = None if field is None else ZEROS.get(field.type)
    return result


def field_set(value: Any, node: Node | None, metadata: Node, *, root: bool = True) -> Tree:
    """The fields that a configuration sets: leaves, empty containers, elements of lists."""
    if isinstance(value, dict) and not is_atomic(node):
        tree: Tree = {}
        for key, inner in value.items():
            field = metadata if root and key == "metadata" else child(node, key)
            below = field_set(inner, field, metadata, root=False)
            known = node is not None and node.field(key) is not None
            entry = below if known or not below or root else {**below, SELF: {}}
            if below or not (root and key == "metadata"):
                tree[f"f:{key}"] = entry
        return tree
    if isinstance(value, list) and node is not None and is_keyed(node):
        return {element(item, node): _element_set(item, node, metadata) for item in value}
    return {}


def _element_set(item: Any, node: Node, metadata: Node) -> Tree:
    below = field_set(item, node.items, metadata, root=False)
    return {**below, SELF: {}} if below else {}


class Comparison:
    """The fields that were added, removed and modified."""

    def __init__(self, old: Obj, new: Obj, node: Node | None, metadata: Node) -> None:
        self._metadata = metadata
        self._root = node
        added, removed, modified = self._maps(owned(old), owned(new), node, root=True)
        self.added, self.removed, self.modified = _root(added), _root(removed), _root(modified)

    def _walk(self, left: Any, right: Any, node: Node | None) -> Sets:
        if left is ABSENT:
            return _whole(right, node), None, None
        if right is ABSENT:
            return None, _whole(left, node), None
        if not (left or right) or is_atomic(node):
            return NOTHING if same(left, right) else (None, None, {})
        if _is(left, dict) and _is(right, dict):
            return self._maps(left or {}, right or {}, node)
        if _is(left, list) and _is(right, list) and node is not None and is_keyed(node):
            return self._lists(left or [], right or [], node)
        return NOTHING if same(left, right) else (None, None, {})

    def _maps(self, left: Obj, right: Obj, node: Node | None, *, root: bool = False) -> Sets:
        found: tuple[Tree, Tree, Tree] = ({}, {}, {})
        for key in {**left, **right}:
            mine, theirs = left.get(key, ABSENT), right.get(key, ABSENT)
            if mine is theirs or _is_equal(mine, theirs):
                continue
            field = self._metadata if root and key == "metadata" else child(node, key)
            _put(found, f"f:{key}", self._walk(mine, theirs, field))
        return found[0] or None, found[1] or None, found[2] or None

    def _lists(self, left: list[Any], right: list[Any], node: Node) -> Sets:
        mine = {element(item, node): item for item in left}
        theirs = {element(item, node): item for item in right}
        if len(mine) != len(left) or len(theirs) != len(right):
            return NOTHING if same(left, right) else (None, None, {})
        found: tuple[Tree, Tree, Tree] = ({}, {}, {})
        for key in {**mine, **theirs}:
            before, after = mine.get(key, ABSENT), theirs.get(key, ABSENT)
            if not _is_equal(before, after):
                _put(found, key, self._walk(before, after, node.items))
        return found[0] or None, found[1] or None, found[2] or None


def _is_equal(left: Any, right: Any) -> bool:
    """Whether values are the same, found out at once; when not, they may still be (`1` and `1.0`).

    Most of an object is as it was, and walking through it costs more. Alone `==` takes true for 1.
    """
    return bool(left == right) and encode(left) == encode(right)


def _is(value: Any, kind: type) -> bool:
    return value is None or isinstance(value, kind)


def _put(found: tuple[Tree, Tree, Tree], key: str, sets: Sets) -> None:
    added, removed, modified = sets
    if added is not None:
        found[0][key] = added
    if removed is not None:
        found[1][key] = removed
    if modified is not None:
        found[2][key] = modified


def _whole(value: Any, node: Node | None) -> Tree:
    """A value that is there on one side only: itself, and everything in it."""
    if not value or is_atomic(node):
        return {}
    if isinstance(value, dict):
        tree: Tree = {SELF: {}}
        for key, item in value.items():
            # most are texts and numbers, in which there is nothing to look for
            inside = item and isinstance(item, dict | list)
            tree[f"f:{key}"] = _whole(item, child(node, key)) if inside else {}
        return tree
    if isinstance(value, list) and node is not None and is_keyed(node):
        inner = {element(item, node): _whole(item, node.items) for item in value}
        return {SELF: {}, **inner} if len(inner) == len(value) else {}
    return {}


def _root(tree: Tree | None) -> Tree:
    """`metadata` itself is nobody's."""
    if tree is None:
        return {}
    metadata = tree.get("f:metadata")
    if metadata is None:
        return tree
    kept = {key: inner for key, inner in metadata.items() if key != SELF}
    rest = {key: inner for key, inner in tree.items() if key != "f:metadata"}
    return {**rest, "f:metadata": kept} if kept else rest
