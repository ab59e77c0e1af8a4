"""Unknown fields go, defaults come (`apiextensions-apiserver/pkg/apiserver/schema/{pruning,defaulting}`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.schema import Node

META = ("apiVersion", "kind", "metadata")
CONTAINERS = (dict, list)


def clone(value: Any) -> Any:
    """A copy of JSON data, with numbers as Go decodes them."""
    if isinstance(value, dict):
        return {name: inner if isinstance(inner, str) else clone(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [clone(inner) for inner in value]
    if type(value) is int and not -(2**63) <= value < 2**63:
        return float(value)
    return value


def prune(value: Any, node: Node | None, unknown: list[str], *, root: bool = False, path: str = "") -> None:
    """Take away what the schema does not have, in place; the paths go to `unknown`."""
    if isinstance(value, dict):
        keeps = node is not None and node.preserves
        embedded = root or (node is not None and node.embedded)
        for name in list(value):
            if embedded and name in META:
                continue
            full = f"{path}.{name}" if path else name
            field = node.field(name) if node is not None else None
            if field is not None:
                prune(value[name], field, unknown, path=full)
            elif node is not None and "additionalProperties" in node.raw:
                prune(value[name], node.values, unknown, path=full)
            elif not keeps:
                unknown.append(full)
                del value[name]
    elif isinstance(value, list):
        items = node.items if node is not None else None
        if node is not None and node.preserves and items is None:
            return
        for position, inner in enumerate(value):
            keeps_all = node is not None and node.preserves and items is not None
            target = _preserving(items) if keeps_all and items is not None else items
            prune(inner, target, unknown, path=f"{path}[{position}]")


def _preserving(node: Node) -> Node:
    """The elements of a list that keeps unknown fields keep theirs."""
    if node.preserves:
        return node
    return Node({**node.raw, "x-kubernetes-preserve-unknown-fields": True})


def drop_nulls(value: Any, node: Node | None) -> None:
    """Take away nulls that are neither allowed nor replaced by a default."""
    if node is None:
        return
    if isinstance(value, dict):
        for name, inner in list(value.items()):
            if inner is not None and not isinstance(inner, CONTAINERS):
                continue
            field = node.field(name) or node.values
            if inner is None and field is not None and not field.nullable and field.default is None:
                del value[name]
            else:
                drop_nulls(inner, field)
    elif isinstance(value, list):
        for inner in value:
            drop_nulls(inner, node.items)


def default(value: Any, node: Node | None) -> None:
    """Fill in defaults, in place; nulls that are not allowed give way."""
    if node is None:
        return
    if isinstance(value, dict):
        for name in node.field_names:
            field = node.field(name)
            if field is None or field.default is None:
                continue
            if name not in value or (value[name] is None and not field.nullable):
                value[name] = clone(field.default)
        values = node.values
        for name in value:
            field = node.field(name)
            if field is None and values is not None:
                if value[name] is None and not values.nullable:
                    value[name] = clone(values.default)
                field = values
            if field is not None and isinstance(value[name], dict | list):
                default(value[name], field)
    elif isinstance(value, list):
        items = node.items
        for position, inner in enumerate(value):
            if inner is None and items is not None and not items.nullable:
                value[position] = clone(items.default)
            default(value[position], items)


def complete(obj: dict[str, Any], node: Node) -> None:
    """Nulls and defaults of a whole object."""
    drop_nulls(obj, node)
    if "default" in node.keywords:
        default(obj, node)
