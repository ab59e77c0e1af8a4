"""Lists of type set and map hold nothing twice (`apiserver/schema/listtype`)."""

from __future__ import annotations

from typing import Any

import msgspec

from edgelab.edgesite.apiserver.custom.errors import Cause, child, duplicate, invalid, key
from edgelab.edgesite.apiserver.schema import Node


def validate(value: Any, node: Node, path: str = "") -> list[Cause]:
    """What occurs twice, anywhere below."""
    causes: list[Cause] = []
    if isinstance(value, list):
        if node.list_type == "set":
            causes += [duplicate(f"{path}[{i}]", value[i]) for i in _twice(value)]
        elif node.list_type == "map":
            causes += _map(value, node, path)
        if node.items is not None:
            for position, inner in enumerate(value):
                causes += validate(inner, node.items, f"{path}[{position}]")
    elif isinstance(value, dict):
        values = node.values
        for name in sorted(value):
            field = node.field(name)
            if field is not None:
                causes += validate(value[name], field, child(path, name))
            elif values is not None:
                causes += validate(value[name], values, key(path, name))
    return causes


def _twice(items: list[Any]) -> list[int]:
    """Where something occurs for the second time."""
    seen: dict[bytes, int] = {}
    found = []
    for position, item in enumerate(items):
        name = msgspec.json.encode(item, order="sorted")
        seen[name] = seen.get(name, 0) + 1
        if seen[name] == 2:
            found.append(position)
    return found


def _map(value: list[Any], node: Node, path: str) -> list[Cause]:
    for position, item in enumerate(value):
        if item is not None and not isinstance(item, dict):
            text = "must be an object for an array of list-type map"
            return [invalid(f"{path}[{position}]", item, text)]
    keys = [
        {name: item[name] for name in node.list_keys if name in item} for item in (i or {} for i in value)
    ]
    return [duplicate(f"{path}[{position}]", keys[position]) for position in _twice(keys)]
