"""Sets of fields as metav1.FieldsV1 writes them, after sigs.k8s.io/structured-merge-diff.

A set is a tree: `f:name` for a field, `k:{...}` for an element of a list of type map, `v:...` for an
element of a set. A leaf is an empty tree; a container that is itself a member besides what lies in it
has the key `.`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from edgelab.edgesite.apiserver.conform import ZEROS
from edgelab.edgesite.apiserver.schema import Node

Tree = dict[str, Any]
Path = tuple[str, ...]

SELF = "."


def child(node: Node | None, key: str) -> Node | None:
    """The schema of an object's field or a map's value."""
    if node is None:
        return None
    return node.field(key) or node.values


def is_atomic(node: Node | None) -> bool:
    """Whether an object is owned as a whole."""
    return node is not None and node.atomic


def is_keyed(node: Node | None) -> bool:
    """Whether the elements of a list are owned one by one."""
    return node is not None and node.keyed


def element(item: Any, node: Node) -> str:
    """The name of a list's element in a set."""
    if node.list_type == "set" or not isinstance(item, dict):
        return "v:" + msgspec.json.encode(item).decode()
    defaults = node.items
    identity = {}
    for key in sorted(node.list_keys):
        field = defaults.field(key) if defaults is not None else None
        found = item.get(key, field.raw.get("default") if field is not None else None)
        if found is None and field is not None:
            found = "TCP" if key == "protocol" else ZEROS.get(field.type)
        identity[key] = found
    return "k:" + msgspec.json.encode(identity).decode()


def members(tree: Tree, prefix: Path = ()) -> Iterator[Path]:
    """The members, those of a level before what lies below them."""
    for key in sorted(tree):
        if key != SELF and (not tree[key] or SELF in tree[key]):
            yield (*prefix, key)
    for key in sorted(tree):
        if key != SELF and tree[key]:
            yield from members(tree[key], (*prefix, key))


def union(left: Tree, right: Tree) -> Tree:
    """Both sets together."""
    if not left or not right:
        only = left or right
        return {**only, SELF: {}} if only and SELF not in only else only
    result = dict(left)
    for key, inner in right.items():
        result[key] = union(result[key], inner) if key in result else inner
    return result


def joined(left: Tree, right: Tree) -> Tree:
    """`union` of whole sets: the root is no member."""
    result = dict(left)
    for key, inner in right.items():
        result[key] = union(result[key], inner) if key in result else inner
    return result


def difference(left: Tree, right: Tree) -> Tree:
    """What is a member of the left set only."""
    result: Tree = {}
    for key, inner in left.items():
        other = right.get(key)
        if other is None:
            result[key] = inner
            continue
        mine = not inner or SELF in inner
        theirs = not other or SELF in other
        rest = difference({k: v for k, v in inner.items() if k != SELF}, other)
        if mine and not theirs:
            result[key] = {**rest, SELF: {}} if rest else {}
        elif rest:
            result[key] = rest
    return result


def intersection(left: Tree, right: Tree) -> Tree:
    """What is a member of both."""
    result: Tree = {}
    for key, inner in left.items():
        other = right.get(key)
        if key == SELF or other is None:
            continue
        both = (not inner or SELF in inner) and (not other or SELF in other)
        rest = intersection(inner, other)
        if both:
            result[key] = {**rest, SELF: {}} if rest else {}
        elif rest:
            result[key] = rest
    return result


def at(tree: Tree, path: Path) -> Tree | None:
    """What lies at a path, or None when nothing does."""
    found: Tree | None = tree
    for part in path:
        found = found.get(part) if found is not None else None
    return found


def has(tree: Tree, path: Path) -> bool:
    """Whether a path is a member. A field with members below counts as one, an element of a list not."""
    found = at(tree, path)
    if found is None:
        return False
    return not found or SELF in found or path[-1].startswith("f:")


def show(path: Path) -> str:
    """A path as conflicts name it: `.spec.ports[port=80].name`."""
    text = ""
    for part in path:
        kind, _, rest = part.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            identity = msgspec.json.decode(rest)
            pairs = (f"{key}={msgspec.json.encode(value).decode()}" for key, value in identity.items())
            text += f"[{','.join(pairs)}]"
        elif kind == "v":
            text += f"[={rest}]"
    return text
