"""Sets of fields and who manages them (metav1.FieldsV1), after sigs.k8s.io/structured-merge-diff.

A set is a tree as FieldsV1 writes it: `f:name` for a field, `k:{...}` for an element of a list of type
map, `v:...` for an element of a set; a leaf is an empty tree.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from edgelab.edgesite.apiserver.schema import Node

Obj = dict[str, Any]
Tree = dict[str, Any]
Path = tuple[str, ...]

NOT_MANAGED = ("apiVersion", "kind")
METADATA_NOT_MANAGED = (
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
    "selfLink",
)


def fields_of(obj: Obj, node: Node | None, metadata: Node) -> Tree:
    """The fields that an object sets."""
    tree: Tree = {}
    for key, value in obj.items():
        if key == "metadata":
            kept = {name: inner for name, inner in value.items() if name not in METADATA_NOT_MANAGED}
            if kept:
                tree["f:metadata"] = _tree(kept, metadata)
        elif key not in NOT_MANAGED:
            tree[f"f:{key}"] = _tree(value, node.field(key) if node is not None else None)
    return tree


def _tree(value: Any, node: Node | None) -> Tree:
    if isinstance(value, dict) and value and not _is_atomic_map(node):
        return {f"f:{key}": _tree(inner, child(node, key)) for key, inner in value.items()}
    if isinstance(value, list) and node is not None and node.list_type in ("map", "set"):
        return {element(item, node): _element_tree(item, node) for item in value}
    return {}


def _is_atomic_map(node: Node | None) -> bool:
    return node is not None and node.raw.get("x-kubernetes-map-type") == "atomic"


def _element_tree(item: Any, node: Node) -> Tree:
    return {".": {}, **_tree(item, node.items)} if node.list_type == "map" else {}


def child(node: Node | None, key: str) -> Node | None:
    """The schema of an object's field or a map's value."""
    if node is None:
        return None
    return node.field(key) or node.values


def element(item: Any, node: Node) -> str:
    """The name of a list's element in a set."""
    if node.list_type == "set" or not isinstance(item, dict):
        return "v:" + msgspec.json.encode(item).decode()
    defaults = node.items
    identity = {}
    for key in sorted(node.list_keys):
        field = defaults.field(key) if defaults is not None else None
        found = item.get(key, field.raw.get("default") if field is not None else None)
        identity[key] = "TCP" if found is None and key == "protocol" else found
    return "k:" + msgspec.json.encode(identity).decode()


def leaves(tree: Tree, prefix: Path = ()) -> Iterator[Path]:
    """The paths of a set."""
    for key, inner in tree.items():
        if key == ".":
            yield (*prefix, ".")
        elif inner:
            yield from leaves(inner, (*prefix, key))
        else:
            yield (*prefix, key)


def has(tree: Tree, path: Path) -> bool:
    """Whether a path is in a set (itself, or as the beginning of a longer one)."""
    for part in path:
        if part not in tree:
            return False
        tree = tree[part]
    return True


def without(tree: Tree, paths: set[Path], prefix: Path = ()) -> Tree:
    """The set without some of its leaves."""
    result: Tree = {}
    for key, inner in tree.items():
        path = (*prefix, key)
        if not inner:
            if path not in paths:
                result[key] = inner
        elif remaining := without(inner, paths, path):
            result[key] = remaining
    return result


def union(left: Tree, right: Tree) -> Tree:
    """Both sets together."""
    result = dict(left)
    for key, inner in right.items():
        result[key] = union(result[key], inner) if key in result else inner
    return result


def show(path: Path) -> str:
    """A path as conflicts name it: `.spec.ports[port=80].name`."""
    text = ""
    for part in path:
        kind, _, rest = part.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            identity = msgspec.json.decode(rest)
            inner = ",".join(
                f"{key}={msgspec.json.encode(value).decode()}" for key, value in identity.items()
            )
            text += f"[{inner}]"
        elif kind == "v":
            text += f"[={rest}]"
    return text
