"""Rules of a schema, compiled: what the rest of the server uses."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from edgelab.edgesite.apiserver.cel.checker import check
from edgelab.edgesite.apiserver.cel.comprehensions import Program
from edgelab.edgesite.apiserver.cel.declarations import functions
from edgelab.edgesite.apiserver.cel.evaluation import build
from edgelab.edgesite.apiserver.cel.literalchecks import qualified
from edgelab.edgesite.apiserver.cel.nodes import Failures, Node
from edgelab.edgesite.apiserver.cel.parser import parse
from edgelab.edgesite.apiserver.cel.types import Type, optional

Obj = dict[str, Any]


@dataclass(slots=True)
class Compiled:
    """A rule and its message; errors are what cel-go would say."""

    program: Program | None = None
    error: str = ""
    uses_old: bool = False
    message: Program | None = None
    message_error: str = ""


@functools.lru_cache(maxsize=512)
def program(source: str) -> Program:
    """An expression that is known to be right."""
    return build(_qualified(parse(source)))


def _qualified(node: Node) -> Node:
    """Namespaced calls, as the checker would have found them."""
    if node.kind == "call" and node.member:
        space = qualified(node.args[0])
        if space is not None and f"{space}.{node.name}" in functions():
            node.name, node.args, node.member = f"{space}.{node.name}", node.args[1:], False
    node.args = [_qualified(arg) for arg in node.args]
    return node


def compile_rule(rule: Obj, self_type: Type) -> Compiled:
    """Parse and check a rule and the expression of its message."""
    old_type = optional(self_type) if rule.get("optionalOldSelf") else self_type
    variables = {"self": self_type, "oldSelf": old_type}
    found = Compiled()
    try:
        result, used = _checked(rule.get("rule") or "", variables)
    except Failures as failures:
        found.error = f"compilation failed: {failures.shown()}"
        return found
    found.uses_old = "oldSelf" in used
    if result.kind != "bool":
        found.error = "cel expression must evaluate to a bool"
        return found
    found.program = program(rule["rule"])
    expression = rule.get("messageExpression")
    if not expression:
        return found
    try:
        result, _ = _checked(expression, variables)
    except Failures as failures:
        found.message_error = f"messageExpression compilation failed: {failures.shown()}"
        return found
    if result.kind != "string":
        found.message_error = "messageExpression must evaluate to a string"
        return found
    found.message = program(expression)
    return found


def _checked(source: str, variables: dict[str, Type]) -> tuple[Type, set[str]]:
    return check(source, parse(source), variables)
