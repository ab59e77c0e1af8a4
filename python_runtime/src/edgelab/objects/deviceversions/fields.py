"""Reading fields of objects that nobody has checked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Obj = dict[str, Any]


class LayoutError(ValueError):
    """A field that is not what its layout says; the message names it."""


def mapping(obj: Obj, key: str, where: str) -> Obj:
    """An object below `key`; an empty one when it is missing. Raises LayoutError."""
    found = obj.get(key)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise LayoutError(f"{where}.{key}: expected an object, found {_kind(found)}")
    return found


def mappings(obj: Obj, key: str, where: str) -> Iterator[tuple[Obj, str]]:
    """The objects of a list below `key`, each with its path. Raises LayoutError."""
    found = obj.get(key)
    if found is None:
        return
    if not isinstance(found, list):
        raise LayoutError(f"{where}.{key}: expected a list, found {_kind(found)}")
    for number, item in enumerate(found):
        path = f"{where}.{key}[{number}]"
        if not isinstance(item, dict):
            raise LayoutError(f"{path}: expected an object, found {_kind(item)}")
        yield item, path


def text(obj: Obj, key: str, where: str) -> str:
    """A string below `key`, or "". Raises LayoutError."""
    found = obj.get(key)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise LayoutError(f"{where}.{key}: expected a string, found {_kind(found)}")
    return found


def whole(obj: Obj, key: str, where: str) -> int | None:
    """A whole number below `key`, or None. Raises LayoutError."""
    found = obj.get(key)
    if found is None or (isinstance(found, int) and not isinstance(found, bool)):
        return found
    raise LayoutError(f"{where}.{key}: expected a whole number, found {_kind(found)}")


def filled(**fields: Any) -> Obj:
    """A dict of the fields that say something."""
    return {key: value for key, value in fields.items() if value not in (None, "", {}, [])}


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return names.get(type(value), "a number")
