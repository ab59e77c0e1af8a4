"""Functions on lists and sets (`ext/lists.go`, `ext/sets.go`, `library/lists.go`)."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

from edgelab.edgesite.apiserver.cel import texts
from edgelab.edgesite.apiserver.cel.nodes import CelError
from edgelab.edgesite.apiserver.cel.values import (
    NO_OVERLOAD,
    NONE,
    Duration,
    Optional,
    compare,
    equal,
    whole,
)

ORDER = functools.cmp_to_key(compare)


def _slice(values: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        raise CelError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise CelError(f"cannot slice({start}, {end}), start index must be less than or equal to end index")
    if end > len(values):
        raise CelError(f"cannot slice({start}, {end}), list is length {len(values)}")
    return values[start:end]


def _flatten(values: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise CelError("level must be non-negative")
    found: list[Any] = []
    for item in values:
        found += _flatten(item, depth - 1) if isinstance(item, list) and depth > 0 else [item]
    return found


def _distinct(values: list[Any]) -> list[Any]:
    found: list[Any] = []
    for item in values:
        if not any(equal(item, other) for other in found):
            found.append(item)
    return found


def sorted_by(values: list[Any], keys: list[Any]) -> list[Any]:
    """Values in the order of their keys."""
    pairs = sorted(zip(map(ORDER, keys), range(len(values)), strict=True))
    return [values[place] for _, place in pairs]


def _is_sorted(values: list[Any]) -> bool:
    return all(compare(left, right) <= 0 for left, right in itertools.pairwise(values))


def _sum(values: list[Any]) -> Any:
    if not values:
        return 0
    if isinstance(values[0], Duration):
        return Duration(sum(item.nanos for item in values))
    total = sum(values)
    return total if isinstance(values[0], float) else whole(total, type(values[0]))


def _extreme(name: str, choose: Callable[..., Any]) -> Callable[[list[Any]], Any]:
    def run(values: list[Any]) -> Any:
        if not isinstance(values, list):
            raise CelError(NO_OVERLOAD)
        if not values:
            raise CelError(f"{name} called on empty list")
        return choose(values, key=ORDER)

    return run


def _index(values: Any, item: Any, *rest: Any) -> int:
    if isinstance(values, str):
        return texts.index_of(values, item, *rest)
    return next((place for place, inner in enumerate(values) if equal(inner, item)), -1)


def _last_index(values: Any, item: Any, *rest: Any) -> int:
    if isinstance(values, str):
        return texts.last_index_of(values, item, *rest)
    return max((place for place, inner in enumerate(values) if equal(inner, item)), default=-1)


def _contains(values: list[Any], part: list[Any]) -> bool:
    return all(any(equal(item, other) for other in values) for item in part)


def _edge(place: int) -> Callable[[list[Any]], Optional]:
    return lambda values: Optional(True, values[place]) if values else NONE


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "distinct": _distinct,
    "first": _edge(0),
    "flatten": _flatten,
    "indexOf": _index,
    "isSorted": _is_sorted,
    "last": _edge(-1),
    "lastIndexOf": _last_index,
    "lists.range": lambda count: list(range(count)),
    "max": _extreme("max", max),
    "min": _extreme("min", min),
    "reverse": lambda values: values[::-1],
    "sets.contains": _contains,
    "sets.equivalent": lambda left, right: _contains(left, right) and _contains(right, left),
    "sets.intersects": lambda left, right: any(equal(a, b) for a in left for b in right),
    "slice": _slice,
    "sort": lambda values: sorted(values, key=ORDER),
    "sum": _sum,
}
