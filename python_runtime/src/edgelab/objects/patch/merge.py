"""JSON merge patch (RFC 7386)."""

from __future__ import annotations

from typing import Any


def not_an_object(patch: Any) -> str:
    """What is wrong with a patch that should be an object."""
    names = {list: "array", str: "string", bool: "bool", int: "number", float: "number"}
    found = names.get(type(patch), "null")
    return f"json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"


def apply(target: Any, patch: Any) -> Any:
    """The patched document. Neither argument is changed; unchanged parts are shared with `target`."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply(result.get(key), value)
    return result


def difference(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The smallest merge patch that makes `after` of `before`."""
    patch: dict[str, Any] = {key: None for key in before if key not in after}
    for key, value in after.items():
        old = before.get(key)
        if key in before and old == value:
            continue
        if isinstance(old, dict) and isinstance(value, dict):
            patch[key] = difference(old, value)
        else:
            patch[key] = value
    return patch
