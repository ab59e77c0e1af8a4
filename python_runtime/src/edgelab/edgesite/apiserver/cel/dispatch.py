"""Which function a call means when the types of its arguments are known at last (`decls.go`).

What no overload of a function takes is refused before the function sees it. Operators are bound to their
left side's type: one that has no such operator at all is named in the error.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from edgelab.edgesite.apiserver.cel.declarations import Overload, functions
from edgelab.edgesite.apiserver.cel.nodes import CelError
from edgelab.edgesite.apiserver.cel.types import Type
from edgelab.edgesite.apiserver.cel.values import NO_OVERLOAD, type_name

KINDS = {"google.protobuf.Duration": "duration", "google.protobuf.Timestamp": "timestamp", "object": "map"}
LOOSE = ("dyn", "param")
ANYTHING = frozenset(("string", "duration", "timestamp"))
"""What is asked for every operator, and has no overload for it."""
ADDABLE = frozenset(("int", "uint", "double", "bytes", "list")) | ANYTHING
NUMBERS = frozenset(("int", "uint", "double")) | ANYTHING
ORDERED = frozenset(["bool", "int", "uint", "double", "string", "bytes", "duration", "timestamp"])
OPERANDS = {
    "_+_": ADDABLE,
    "_-_": NUMBERS,
    "_*_": NUMBERS,
    "_/_": NUMBERS,
    "_%_": ANYTHING | {"int", "uint"},
    "_<_": ORDERED,
    "_<=_": ORDERED,
    "_>_": ORDERED,
    "_>=_": ORDERED,
    "-_": ANYTHING | {"int", "double", "bool"},
    "size": frozenset(["string", "bytes", "list", "map"]),
    "sort": frozenset(("list",)),
}
"""What has an operator, or a function that is bound like one."""
UNNAMED = frozenset(("contains", "startsWith", "endsWith", "matches", "find", "findAll"))
"""Functions that do not say which they are."""
FORGIVING = frozenset(("orValue", "distinct", "type", "dyn", "_==_", "_!=_", "@in", "!_", "optional.of"))
"""Functions that look at their arguments themselves."""
ITERABLE = {"bool": "Bool", "int": "Int", "uint": "Uint", "double": "Double", "string": "String"}
ITERABLE |= {"null_type": "Null", "bytes": "Bytes", "duration": "Duration", "timestamp": "Timestamp"}

Refusal = Callable[[list[Any]], None]


def kind_of(value: Any) -> str:
    """The kind of a value's type, or the whole name of an opaque one."""
    name = type_name(value)
    return KINDS.get(name, name)


def not_iterable(value: Any) -> CelError:
    """A macro's target has nothing to go through."""
    name = ITERABLE.get(kind_of(value))
    return CelError(f"got 'types.{name}', expected iterable type" if name else NO_OVERLOAD)


@functools.cache
def checker(name: str) -> Refusal | None:
    """A function that raises CelError for arguments that `name` does not take; None if it takes all."""
    if name in OPERANDS:
        return _bound(name, OPERANDS[name])
    overloads = functions().get(name)
    if name in FORGIVING or not overloads or name[0] in "_@!-":
        return None
    return _declared(name, overloads)


def _bound(name: str, operands: frozenset[str]) -> Refusal:
    fine: dict[type, bool] = {}

    def check(values: list[Any]) -> None:
        kind = type(values[0])
        known = fine.get(kind)
        if known is None:
            known = fine[kind] = kind_of(values[0]) in operands
        if not known:
            raise CelError(f"{NO_OVERLOAD}: {name}")

    return check


def _declared(name: str, overloads: list[Overload]) -> Refusal:
    fine: dict[tuple[type, ...], bool] = {}

    def check(values: list[Any]) -> None:
        kinds = tuple(map(type, values))
        known = fine.get(kinds)
        if known is None:
            found = [kind_of(value) for value in values]
            known = fine[kinds] = any(_takes(overload, found) for overload in overloads)
        if not known and name in UNNAMED:
            raise CelError(NO_OVERLOAD)
        if not known:
            raise CelError(f"{NO_OVERLOAD}: {_shown(name, [type_name(value) for value in values])}")

    return check


def _takes(overload: Overload, kinds: list[str]) -> bool:
    return len(overload.args) == len(kinds) and all(map(_fits, overload.args, kinds))


def _fits(wanted: Type, kind: str) -> bool:
    return wanted.kind in LOOSE or kind in (wanted.kind, wanted.name)


def _shown(name: str, kinds: list[str]) -> str:
    if name == "flatten":
        target = "map(dyn, dyn)" if kinds[0] == "map" else kinds[0]
        return f"{target}.flatten({', '.join(kinds[1:])})"
    return f"{name}({', '.join(kinds)})"
