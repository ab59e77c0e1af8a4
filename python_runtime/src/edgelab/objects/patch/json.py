"""JSON patch (RFC 6902) on JSON pointers (RFC 6901), as kube-apiserver's library carries it out.

That one (evanphx/json-patch) is more lenient than the RFC: a missing value is null, `replace` and `copy`
take members of objects that are not there, and negative indices count from the end of a list.
"""

from __future__ import annotations

import re
from typing import Any

from edgelab.objects.patch.errors import PatchError

OPERATIONS = ("test", "remove", "add", "replace", "move", "copy")


def apply(document: Any, operations: Any) -> Any:
    """The patched document; `document` keeps its value, unchanged parts are shared with it.

    Raises PatchError: malformed when `operations` is no list of operations, otherwise when a path
    does not exist or a `test` fails.
    """
    if operations is None:
        return document
    if not isinstance(operations, list):
        raise PatchError(f"{_into(operations)} []handlers.jsonPatchOp", malformed=True)
    for operation in operations:
        if not isinstance(operation, dict):
            raise PatchError(f"{_into(operation)} handlers.jsonPatchOp", malformed=True)
    for operation in operations:
        document = _operate(document, operation)
    return document


def _into(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
    return f"json: cannot unmarshal {names.get(type(value), 'null')} into Go value of type"


def _operate(document: Any, operation: dict[str, Any]) -> Any:
    name = operation.get("op")
    if name not in OPERATIONS:
        raise PatchError(f"Unexpected kind: {name or 'unknown'}")
    path, value = _split(operation.get("path")), operation.get("value")
    if name == "test":
        if not same(_get(document, path, lenient=True), value):
            raise PatchError(f"testing value {operation['path']} failed")
        return document
    if name == "remove":
        return _remove(document, path)
    if name in ("add", "replace"):
        if not path:
            raise PatchError(f"{name} operation does not apply to the whole document")
        return _put(document, path, value, insert=name == "add")
    return _transfer(document, operation, path, move=name == "move")


def _transfer(document: Any, operation: dict[str, Any], path: list[str], *, move: bool) -> Any:
    source = _split(operation.get("from"))
    value = _get(document, source, lenient=not move)
    if move:
        if path[: len(source)] == source and path != source:
            raise PatchError("cannot move a value into itself")
        document = _remove(document, source)
    return _put(document, path, value, insert=True)


def same(left: Any, right: Any) -> bool:
    """Equality as JSON has it: numbers by value, but true is not 1."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def _split(pointer: Any) -> list[str]:
    """The parts of a pointer; what stands before its first slash is not looked at."""
    if pointer == "":
        return []
    if not isinstance(pointer, str) or "/" not in pointer:
        raise PatchError(f"missing or invalid path: {pointer!r}")
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]


def _index(items: list[Any], part: str, *, insert: bool = False) -> int:
    if insert and part == "-":
        return len(items)
    if not re.fullmatch(r"[+-]?[0-9]+", part, re.ASCII):
        raise PatchError(f"invalid array index {part!r}")
    position, last = int(part), len(items) - (0 if insert else 1)
    if position < 0:
        position += len(items) + (1 if insert else 0)
    if not 0 <= position <= last:
        raise PatchError(f"array index {part} is out of bounds")
    return position


def _child(node: Any, part: str) -> Any:
    if isinstance(node, dict) and part in node:
        return node[part]
    if isinstance(node, list):
        return node[_index(node, part)]
    raise PatchError(f"no value at {part!r}: nonexistent path")


def _get(node: Any, path: list[str], *, lenient: bool = False) -> Any:
    """The value at a path; with `lenient` null for a member of an object that is not there."""
    for part in path[:-1]:
        node = _child(node, part)
    if not path:
        return node
    if lenient and isinstance(node, dict):
        return node.get(path[-1])
    return _child(node, path[-1])


def _put(node: Any, path: list[str], value: Any, *, insert: bool) -> Any:
    if not path:
        return value
    part, rest = path[0], path[1:]
    if isinstance(node, dict):
        if rest:
            _child(node, part)
        return {**node, part: _put(node.get(part), rest, value, insert=insert)}
    if not isinstance(node, list):
        raise PatchError(f"no value at {part!r}: nonexistent path")
    if rest or not insert:
        position = _index(node, part)
        return [*node[:position], _put(node[position], rest, value, insert=insert), *node[position + 1 :]]
    position = _index(node, part, insert=True)
    return [*node[:position], value, *node[position:]]


def _remove(node: Any, path: list[str]) -> Any:
    if not path:
        return None
    part, rest = path[0], path[1:]
    child = _child(node, part)
    if isinstance(node, dict):
        if rest:
            return {**node, part: _remove(child, rest)}
        return {key: value for key, value in node.items() if key != part}
    position = _index(node, part)
    middle = [_remove(child, rest)] if rest else []
    return [*node[:position], *middle, *node[position + 1 :]]
