"""JSON patch (RFC 6902) on JSON pointers (RFC 6901)."""

from __future__ import annotations

from typing import Any

from edgelab.objects.patch.errors import PatchError

MAX_OPERATIONS = 10_000  # kube-apiserver's limit: MaxJSONPatchOperations


def apply(document: Any, operations: Any) -> Any:
    """The patched document; `document` keeps its value, unchanged parts are shared with it.

    Raises PatchError: malformed when `operations` is no list of operations, otherwise when a path
    does not exist or a `test` fails.
    """
    if not isinstance(operations, list):
        raise PatchError("a JSON patch is a list of operations", malformed=True)
    if len(operations) > MAX_OPERATIONS:
        raise PatchError(f"more than {MAX_OPERATIONS} operations", malformed=True)
    for operation in operations:
        document = _operate(document, operation)
    return document


def _operate(document: Any, operation: Any) -> Any:
    if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
        raise PatchError("an operation needs the fields op and path", malformed=True)
    name, path = operation.get("op"), _split(operation["path"])
    if name == "test":
        if not same(_get(document, path), operation.get("value")):
            raise PatchError(f"testing value {operation['path']} failed")
        return document
    if name == "remove":
        return _remove(document, path)
    if name in ("add", "replace"):
        if "value" not in operation:
            raise PatchError(f"operation {name} needs a value", malformed=True)
        return _put(document, path, operation["value"], insert=name == "add")
    if name in ("move", "copy"):
        return _transfer(document, operation, path, move=name == "move")
    raise PatchError(f"unexpected kind: {name}", malformed=True)


def _transfer(document: Any, operation: dict[str, Any], path: list[str], *, move: bool) -> Any:
    if not isinstance(operation.get("from"), str):
        raise PatchError("operations move and copy need the field from", malformed=True)
    source = _split(operation["from"])
    value = _get(document, source)
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


def _split(pointer: str) -> list[str]:
    if pointer == "":
        return []
    if not pointer.startswith("/"):
        raise PatchError(f"invalid JSON pointer {pointer!r}", malformed=True)
    return [part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/")]


def _index(items: list[Any], part: str, *, insert: bool = False) -> int:
    if insert and part == "-":
        return len(items)
    if not part.isdecimal() or (len(part) > 1 and part.startswith("0")):
        raise PatchError(f"invalid array index {part!r}")
    position = int(part)
    if position > len(items) - (0 if insert else 1):
        raise PatchError(f"array index {part} is out of bounds")
    return position


def _child(node: Any, part: str) -> Any:
    if isinstance(node, dict) and part in node:
        return node[part]
    if isinstance(node, list):
        return node[_index(node, part)]
    raise PatchError(f"no value at {part!r}: nonexistent path")


def _get(node: Any, path: list[str]) -> Any:
    for part in path:
        node = _child(node, part)
    return node


def _put(node: Any, path: list[str], value: Any, *, insert: bool) -> Any:
    if not path:
        return value
    part, rest = path[0], path[1:]
    if isinstance(node, dict):
        if not insert or rest:
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
