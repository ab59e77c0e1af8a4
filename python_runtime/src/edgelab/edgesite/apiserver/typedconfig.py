"""Whether an applied configuration fits its type, in structured-merge-diff's words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgelab.edgesite.apiserver.comparing import NOT_OWNED
from edgelab.edgesite.apiserver.custom import golang
from edgelab.edgesite.apiserver.fieldsets import element, is_keyed, show
from edgelab.edgesite.apiserver.schema import INT_OR_STRING, QUANTITY, Node

Obj = dict[str, Any]
GO_TYPES = {str: "string", bool: "bool", int: "int64", float: "float64"}
UNTYPED = (INT_OR_STRING, QUANTITY)
SCALARS: dict[str, tuple[str, tuple[type, ...]]] = {
    "string": ("string", (str,)),
    "boolean": ("boolean", (bool,)),
    "integer": ("numeric (int or float)", (int, float)),
    "number": ("numeric (int or float)", (int, float)),
}


def problems(
    value: Any, node: Node | None, metadata: Node, path: str = "", *, root: bool = True
) -> Iterator[str]:
    """`.spec.foo: field not declared in schema` and the like."""
    if node is None or value is None or node.name in UNTYPED:
        return
    if node.type == "object" and not node.free:
        if not isinstance(value, dict):
            yield f"{path}: expected map, got &{{{golang.shown(value)}}}"
            return
        for key, inner in value.items():
            if root and key in NOT_OWNED:
                continue
            field = metadata if root and key == "metadata" else node.field(key) or node.values
            if field is None and not node.preserves:
                yield f"{path}.{key}: field not declared in schema"
            yield from problems(inner, field, metadata, f"{path}.{key}", root=False)
    elif node.type == "array":
        yield from _list(value, node, metadata, path)
    elif node.type in SCALARS:
        wanted, kinds = SCALARS[node.type]
        if not isinstance(value, kinds) or (isinstance(value, bool) and node.type != "boolean"):
            found = f"&value.valueUnstructured{{Value:{golang.syntax(value)}}}"
            if wanted != "string":
                found = GO_TYPES.get(type(value), "interface {}")
            yield f"{path}: expected {wanted}, got {found}"


def _list(value: Any, node: Node, metadata: Node, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path}: expected list, got &{{{golang.shown(value)}}}"
        return
    seen = set()
    for position, item in enumerate(value):
        where = f"{path}[{position}]"
        if is_keyed(node):
            name = element(item, node)
            where = path + show((name,))
            if name in seen:
                yield f"{path}: duplicate entries for key {show((name,))}"
            seen.add(name)
        yield from problems(item, node.items, metadata, where, root=False)
