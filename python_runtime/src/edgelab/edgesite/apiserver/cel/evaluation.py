"""Evaluation of checked expressions: each node becomes a function of its environment.

Errors are values that `&&` and `||` may outvote, as in cel-go. What an evaluation costs is counted and
bounded (`interpreter/runtimecost.go`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgelab.edgesite.apiserver.cel import dispatch, library
from edgelab.edgesite.apiserver.cel.comprehensions import MACROS, Environment, Program, truth
from edgelab.edgesite.apiserver.cel.nodes import CelError, CostExceeded, Node
from edgelab.edgesite.apiserver.cel.schematypes import RESERVED
from edgelab.edgesite.apiserver.cel.values import (
    NO_OVERLOAD,
    NONE,
    Optional,
    Struct,
    TypeValue,
    UInt,
    text,
)

LIST_COST, MAP_COST = 10, 30


def build(node: Node) -> Program:
    """A function that evaluates the expression."""
    return BUILDERS[node.kind](node)


def _literal(node: Node) -> Program:
    value = UInt(node.value) if node.name == "uint" else node.value
    return lambda env: value


def _ident(node: Node) -> Program:
    name = node.name

    def run(env: Environment) -> Any:
        env.spend(1)
        if name in env.names:
            return env.names[name]
        if name in TYPES:
            return TypeValue(TYPES[name])
        raise CelError(f"no such attribute(s): {name}")

    return run


_TYPES = (
    "bool int uint double string bytes list map null_type type optional_type dyn google.protobuf.Timestamp"
    " google.protobuf.Duration net.IP net.CIDR kubernetes.Quantity kubernetes.URL kubernetes.Semver"
)
TYPES = {name: name for name in _TYPES.split()}


def _select(node: Node) -> Program:
    operand, name, test, wants = build(node.args[0]), node.name, node.test, node.optional
    reserved = f"__{name}__" if name in RESERVED else ""

    def run(env: Environment) -> Any:
        target = operand(env)
        env.spend(0 if test else 1)
        wrapped = isinstance(target, Optional)
        if wrapped:
            target = target.value if target.present else Struct()
        if not isinstance(target, dict):
            if test or wrapped or wants:
                return False if test else NONE
            raise CelError(f"no such key: {name}")
        struct = isinstance(target, Struct)
        key = reserved if struct and reserved in target else name
        if test or wrapped or wants:
            present = key in target and not (struct and target[key] is None)
            if test:
                return present
            return Optional(True, target[key]) if present else NONE
        if key in target:
            return target[key]
        raise CelError(f"no such key: {name}")

    return run


def _list(node: Node) -> Program:
    items, optionals = [build(arg) for arg in node.args], node.optionals

    def run(env: Environment) -> Any:
        env.spend(LIST_COST)
        found = []
        for position, item in enumerate(items):
            value = item(env)
            if position not in optionals:
                found.append(value)
            elif value.present:
                found.append(value.value)
        return found

    return run


def _map(node: Node) -> Program:
    args, optionals = [build(arg) for arg in node.args], node.optionals

    def run(env: Environment) -> Any:
        env.spend(MAP_COST)
        found: dict[Any, Any] = {}
        for position in range(0, len(args), 2):
            key, value = args[position](env), args[position + 1](env)
            if key in found:
                raise CelError(f"Failed with repeated key: {text(key)}")
            if position // 2 not in optionals:
                found[key] = value
            elif value.present:
                found[key] = value.value
        return found

    return run


def _struct(node: Node) -> Program:
    raise CelError(f"unknown type: {node.name}")


def _call(node: Node) -> Program:
    special = SPECIAL.get(node.name)
    args = [build(arg) for arg in node.args]
    if special is not None:
        return special(args)
    function, name, check = library.FUNCTIONS.get(node.name), node.name, dispatch.checker(node.name)

    def run(env: Environment) -> Any:
        values = [arg(env) for arg in args]
        env.spend(1 + library.cost(name, values))
        if check is not None:
            check(values)
        if function is None:
            raise CelError(NO_OVERLOAD)
        try:
            return function(*values)
        except (TypeError, AttributeError, ValueError, RecursionError) as error:
            raise CelError(NO_OVERLOAD) from error

    return run


def _logical(args: list[Program], winner: bool) -> Program:
    """`&&` and `||`: what decides wins over errors on the other side."""
    left, right = args

    def run(env: Environment) -> Any:
        env.spend(1)
        failure: CelError | None = None
        try:
            if truth(left(env)) is winner:
                return winner
        except CostExceeded:
            raise
        except CelError as error:
            failure = error
        if truth(right(env)) is winner:
            return winner
        if failure is not None:
            raise failure
        return not winner

    return run


def _ternary(args: list[Program]) -> Program:
    condition, yes, no = args

    def run(env: Environment) -> Any:
        return yes(env) if truth(condition(env)) else no(env)

    return run


def _index(args: list[Program], *, wants: bool) -> Program:
    operand, key = args

    def run(env: Environment) -> Any:
        target, name = operand(env), key(env)
        env.spend(1)
        wrapped = isinstance(target, Optional)
        if wrapped and not target.present:
            return NONE
        container = target.value if wrapped else target
        found = _item(container, name)
        if wants or wrapped:
            return found
        if found.present:
            return found.value
        if isinstance(container, list):
            raise CelError(f"index out of bounds: {text(name)}")
        raise CelError(f"no such key: {text(name)}")

    return run


def _item(container: Any, key: Any) -> Optional:
    if isinstance(container, list):
        if isinstance(key, float) and key.is_integer():
            key = int(key)
        if isinstance(key, bool) or not isinstance(key, int):
            raise CelError(NO_OVERLOAD if not isinstance(key, float) else "unsupported index value")
        return Optional(True, container[key]) if 0 <= key < len(container) else NONE
    if isinstance(container, dict):
        for name in (key,) if not isinstance(key, bool) else ():
            if name in container:
                return Optional(True, container[name])
    return NONE


SPECIAL: dict[str, Callable[[list[Program]], Program]] = {
    "_&&_": lambda args: _logical(args, winner=False),
    "_||_": lambda args: _logical(args, winner=True),
    "_?_:_": _ternary,
    "_[_]": lambda args: _index(args, wants=False),
    "_[?_]": lambda args: _index(args, wants=True),
}


def _comp(node: Node) -> Program:
    ranged, inner = build(node.args[0]), [build(arg) for arg in node.args[1:]]
    names, macro = node.variables, MACROS[node.name]

    def run(env: Environment) -> Any:
        value = ranged(env)
        saved = {name: env.names[name] for name in names if name in env.names}
        try:
            return macro(env, value, names, inner)
        finally:
            for name in names:
                env.names.pop(name, None)
            env.names.update(saved)

    return run


BUILDERS: dict[str, Callable[[Node], Program]] = {
    "call": _call,
    "comp": _comp,
    "ident": _ident,
    "list": _list,
    "literal": _literal,
    "map": _map,
    "select": _select,
    "struct": _struct,
}
