"""Strategic merge patch: lists merged by key as the API's types say.

Follows apimachinery `pkg/util/strategicpatch/patch.go`: the directives `$patch`
(merge, replace, delete), `$retainKeys`, `$setElementOrder/<list>` and
`$deleteFromPrimitiveList/<list>`, and its order of merged lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from edgelab.objects.patch.errors import PatchError
from edgelab.objects.patch.merge import not_an_object
from edgelab.objects.patch.show import show

DIRECTIVE = "$patch"
RETAIN = "$retainKeys"
ORDER = "$setElementOrder/"
DELETE = "$deleteFromPrimitiveList/"


@dataclass(frozen=True, slots=True)
class FieldPatch:
    """How one field is patched: `strategies` out of merge, replace, retainKeys; the key of a merged
    list; the schema of the value (of its elements for a list), or None where nothing is known.
    """

    strategies: frozenset[str]
    merge_key: str
    schema: PatchSchema | None


class PatchSchema(Protocol):
    """A type as the patch sees it."""

    def patch_field(self, name: str) -> FieldPatch | None:
        """The field of that name, or None when the type does not say (it is then replaced or merged
        as plain JSON).
        """
        ...


UNKNOWN = FieldPatch(frozenset(), "", None)


def apply(original: Any, patch: Any, schema: PatchSchema | None) -> Any:
    """The patched object; the arguments keep their values. Raises PatchError."""
    if not isinstance(patch, dict):
        raise PatchError(not_an_object(patch), malformed=True)
    return _merge_map(original if isinstance(original, dict) else {}, patch, schema)


def _merge_map(original: dict[str, Any], patch: dict[str, Any], schema: PatchSchema | None) -> dict[str, Any]:
    if DIRECTIVE in patch:
        return _directed(patch)
    merged, patch = dict(original), dict(patch)
    _retain(merged, patch)
    for key in [key for key in patch if key.startswith(ORDER)]:
        _ordered(merged, patch, key, schema)
    for key, value in patch.items():
        if key.startswith(DELETE):
            _delete_primitives(merged, key.removeprefix(DELETE), value)
        elif value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge_field(merged.get(key), value, _field(schema, key))
    return merged


def _unknown(directive: Any, patch: dict[str, Any]) -> PatchError:
    found = directive
    if directive is None or isinstance(directive, bool | int | float):
        names = {bool: "bool=", int: "int64=", float: "float64="}
        found = f"%!s({names.get(type(directive), '')}{show(directive)})"  # Go's `%s` of what is no text
    return PatchError(f"unknown patch type: {found} in map: {show(patch)}")


def _directed(patch: dict[str, Any]) -> dict[str, Any]:
    directive = patch[DIRECTIVE]
    if directive == "replace":
        return {key: _plain(value) for key, value in patch.items() if key != DIRECTIVE and value is not None}
    if directive == "delete":
        return {}
    if directive == "merge":
        return {key: _plain(value) for key, value in patch.items() if key != DIRECTIVE}
    raise _unknown(directive, patch)


def _field(schema: PatchSchema | None, key: str) -> FieldPatch:
    return (schema.patch_field(key) if schema is not None else None) or UNKNOWN


def _retain(merged: dict[str, Any], patch: dict[str, Any]) -> None:
    keep = patch.pop(RETAIN, None)
    if keep is None:
        return
    if not isinstance(keep, list) or any(
        value is not None and key not in keep for key, value in patch.items()
    ):
        raise PatchError("invalid patch format of retainKeys", malformed=True)
    for key in [key for key in merged if key not in keep]:
        del merged[key]


def _merge_field(old: Any, new: Any, field: FieldPatch) -> Any:
    replace = "replace" in field.strategies
    if isinstance(old, dict) and isinstance(new, dict) and not replace:
        return _merge_map(old, new, field.schema)
    if isinstance(old, list) and isinstance(new, list) and "merge" in field.strategies:
        return _merge_list(old, new, field)
    return _plain(new)


def _plain(value: Any) -> Any:
    """A patch's value where there was none: without directives and without nulls."""
    if isinstance(value, dict):
        if value.get(DIRECTIVE) == "delete":
            return {}
        return {
            key: _plain(inner)
            for key, inner in value.items()
            if inner is not None and key not in (DIRECTIVE, RETAIN) and not key.startswith((ORDER, DELETE))
        }
    if isinstance(value, list):
        kept = (item for item in value if not (isinstance(item, dict) and DIRECTIVE in item and _drops(item)))
        return [_plain(item) for item in kept]
    return value


def _drops(item: dict[str, Any]) -> bool:
    return item[DIRECTIVE] == "delete" or (item[DIRECTIVE] == "replace" and len(item) == 1)


def _delete_primitives(merged: dict[str, Any], key: str, doomed: Any) -> None:
    if isinstance(doomed, list) and isinstance(merged.get(key), list):
        merged[key] = [item for item in merged[key] if item not in doomed]


def _ordered(
    merged: dict[str, Any], patch: dict[str, Any], directive: str, schema: PatchSchema | None
) -> None:
    order, key = patch.pop(directive), directive.removeprefix(ORDER)
    field = _field(schema, key)
    if not isinstance(order, list):
        raise PatchError(f"{directive} must be a list")
    old, new = merged.get(key), patch.pop(key, None)
    if new is not None and not isinstance(new, list):
        raise PatchError(f"{key} must be a list")
    if old is None and new is None:
        return
    _check_order(new or [], order, field.merge_key, directive)
    items: list[Any] = _merge_field(old, new, field) if new is not None else old or []
    merged[key] = _arrange(items, order, old or [], field.merge_key)


def _check_order(items: list[Any], order: list[Any], merge_key: str, directive: str) -> None:
    """The patch's items must appear in the order list, in its order."""
    position = 0
    for item in items:
        if isinstance(item, dict) and DIRECTIVE in item:
            continue
        while position < len(order) and not _matches(order[position], item, merge_key):
            position += 1
        if position == len(order):
            given = f"The order in patch list:\n{show(items)}\n"
            raise PatchError(f"{given} doesn't match $setElementOrder list:\n{show(order)}\n")
        position += 1


def _matches(left: Any, right: Any, merge_key: str) -> bool:
    if isinstance(left, dict) and isinstance(right, dict):
        return merge_key in left and merge_key in right and bool(left[merge_key] == right[merge_key])
    return bool(left == right)


def _no_key(patch: dict[str, Any], merge_key: str) -> str:
    return f"map: {show(patch)} does not contain declared merge key: {merge_key}"


def _merge_list(old: list[Any], new: list[Any], field: FieldPatch) -> list[Any]:
    if not any(isinstance(item, dict) for item in (*old[:1], *new[:1])):
        both = list(dict.fromkeys((*old, *new)))
        return _arrange(both, new, old, "")
    if not field.merge_key:
        raise PatchError("cannot merge a list of objects without a merge key")
    items, patches, replace = _special(old, new, field.merge_key)
    if replace:
        return [_plain(item) for item in patches]
    for patch in patches:
        found = next((i for i, item in enumerate(items) if _matches(item, patch, field.merge_key)), None)
        if found is None:
            items.append(_plain(patch))
        else:
            items[found] = _merge_map(items[found], patch, field.schema)
    return _arrange(items, patches, old, field.merge_key)


def _special(old: list[Any], new: list[Any], merge_key: str) -> tuple[list[Any], list[Any], bool]:
    """Carry out `$patch: delete` and `$patch: replace` elements; gives what is left to be merged."""
    items, patches, replace = list(old), [], False
    for patch in new:
        if not isinstance(patch, dict):
            raise PatchError(f"list element types are not identical: [{show(old)} {show(new)}]")
        directive = patch.get(DIRECTIVE)
        if directive == "replace":
            replace = True
        elif directive == "delete":
            if merge_key not in patch:
                raise PatchError(_no_key(patch, merge_key))
            items = [item for item in items if not _matches(item, patch, merge_key)]
        elif directive is None or directive == "merge":
            if merge_key not in patch:
                raise PatchError(_no_key(patch, merge_key))
            patches.append({key: value for key, value in patch.items() if key != DIRECTIVE})
        else:
            raise _unknown(directive, patch)
    return items, patches, replace


def _arrange(items: list[Any], order: list[Any], server: list[Any], merge_key: str) -> list[Any]:
    """The patch's items in the patch's order, the others slipped in where the server had them."""

    def rank(item: Any, among: list[Any]) -> int:
        return next((i for i, other in enumerate(among) if _matches(other, item, merge_key)), -1)

    patched = sorted((i for i in items if rank(i, order) >= 0), key=lambda item: rank(item, order))
    others = sorted(
        (i for i in items if rank(i, order) < 0),
        key=lambda item: position if (position := rank(item, server)) >= 0 else len(server),
    )
    result: list[Any] = []
    for item in patched:
        mine = rank(item, server)
        while others and 0 <= rank(others[0], server) < mine:
            result.append(others.pop(0))
        result.append(item)
    return result + others
