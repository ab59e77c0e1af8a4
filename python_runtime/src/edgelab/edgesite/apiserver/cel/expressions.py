"""Expressions of admission: one text, typed variables, and the types that it may evaluate to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgelab.edgesite.apiserver.cel import types
from edgelab.edgesite.apiserver.cel.checker import check
from edgelab.edgesite.apiserver.cel.comprehensions import Program
from edgelab.edgesite.apiserver.cel.evaluation import build
from edgelab.edgesite.apiserver.cel.library import FUNCTIONS
from edgelab.edgesite.apiserver.cel.nodes import CelError, Failures, Node
from edgelab.edgesite.apiserver.cel.parser import parse
from edgelab.edgesite.apiserver.cel.types import Type
from edgelab.edgesite.apiserver.custom import patterns

CONVERSIONS = ("bool", "bytes", "double", "int", "string", "uint")
FULL_NAMES = {"timestamp": "google.protobuf.Timestamp", "duration": "google.protobuf.Duration"}


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression, or what is wrong with it. `gives` is None if it has no type.

    An error is internal if the expression is right, but cannot be made a program.
    """

    source: str
    program: Program | None = None
    error: str = ""
    is_internal: bool = False
    gives: Type | None = None


def compiled(source: str, variables: Mapping[str, Type], wanted: tuple[str, ...] = ()) -> Expression:
    """Parse, check and build; `wanted` are the kinds that may come out, all if there are none."""
    try:
        node = parse(source)
        result, _ = check(source, node, dict(variables))
    except Failures as failures:
        return Expression(source, error=f"compilation failed: {failures.shown()}")
    if wanted and result.kind not in wanted:
        allowed = f"one of [{' '.join(wanted)}]" if len(wanted) > 1 else wanted[0]
        return Expression(source, error=f"must evaluate to {allowed} but got {runtime_name(result)}")
    if problem := uninstantiable(node):
        return Expression(source, error=f"program instantiation failed: {problem}", is_internal=True)
    return Expression(source, build(node), gives=result)


def uninstantiable(node: Node) -> str:
    """Why no program can be made of an expression that is right: what is constant is evaluated then."""
    if node.kind == "call" and node.args and node.args[-1].kind == "literal":
        literal = node.args[-1]
        if node.name in ("find", "findAll") and isinstance(literal.value, str):
            return patterns.problem(literal.value)
        if node.name in CONVERSIONS and not node.member:
            try:
                FUNCTIONS[node.name](literal.value)
            except CelError as error:
                return str(error)
    return next(filter(None, map(uninstantiable, node.args)), "")


def runtime_name(found: Type) -> str:
    """A type as `cel.Type.String` has it, which is not how the checker's errors show it."""
    if found.kind == "null_type":
        return found.kind
    if found.params and found.kind != "type":
        return f"{found.kind}({', '.join(map(runtime_name, found.params))})"
    return FULL_NAMES.get(found.kind) or found.name or found.kind


def composed(found: Type | None) -> Type:
    """The type that a variable has for other expressions (`convertCelTypeToDeclType`)."""
    if found is None:
        return types.DYN
    if found.kind in ("list", "map"):
        return Type(found.kind, tuple(composed(inner) for inner in found.params))
    return found if found.kind in types.SIMPLE else types.DYN
