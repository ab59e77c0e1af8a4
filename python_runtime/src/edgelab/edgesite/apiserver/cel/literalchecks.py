"""What is wrong with literals, besides their types (`cel/validator.go`, `ext/formatting.go`)."""

from __future__ import annotations

from edgelab.edgesite.apiserver.cel.literals import bad_literal
from edgelab.edgesite.apiserver.cel.nodes import Node
from edgelab.edgesite.apiserver.cel.texts import CLAUSE
from edgelab.edgesite.apiserver.custom import patterns

FORMATTED = {
    "b": ("int bool uint", "only integers and bools can be formatted as binary, was given {}"),
    "d": ("int uint", "decimal clause can only be used on integers, was given {}"),
    "e": ("double", "scientific clause can only be used on doubles, was given {}"),
    "f": ("double", "fixed-point clause can only be used on doubles, was given {}"),
    "o": ("int uint", "octal clause can only be used on integers, was given {}"),
    "x": (
        "int uint string bytes",
        "only integers, byte buffers, and strings can be formatted as hex, was given {}",
    ),
}
FORMATTED["X"] = FORMATTED["x"]


def bad_format(node: Node, found: list[str]) -> list[tuple[int, str]]:
    """What is wrong with the literal arguments of `format`."""
    used, target, items = 0, node.args[0].value, node.args[1].args
    for clause in CLAUSE.finditer(target if isinstance(target, str) else ""):
        verb = clause[2]
        if clause[0] == "%%":
            continue
        if verb not in FORMATTED and verb != "s":
            text = f'could not parse formatting clause: unrecognized formatting clause "{verb}"'
            return [(node.position, text)]
        if used >= len(items):
            return [(node.position, f"index {used} out of range")]
        kinds, text = FORMATTED.get(verb, ("", ""))
        if kinds and found[used] not in (*kinds.split(), "dyn"):
            return [(items[used].position, f"error during formatting: {text.format(found[used])}")]
        used += 1
    return []


def bad_literals(node: Node) -> list[tuple[int, str]]:
    """Literals that their function would refuse."""
    found = [pair for inner in node.args for pair in bad_literals(inner)]
    if node.kind == "call" and node.name in ("duration", "timestamp", "matches") and node.args:
        literal = node.args[-1]
        if literal.kind == "literal" and literal.name == "string" and bad_literal(node.name, literal.value):
            found.append((literal.position, f"invalid {node.name} argument"))
    return found


def uninstantiable(node: Node) -> str:
    """Why no program can be made of an expression that is right: a pattern that is none."""
    if node.kind == "call" and node.name in ("find", "findAll") and len(node.args) > 1:
        literal = node.args[1]
        if literal.kind == "literal" and isinstance(literal.value, str):
            problem = patterns.problem(literal.value)
            if problem:
                return f"program instantiation failed: {problem}"
    return next(filter(None, map(uninstantiable, node.args)), "")


def qualified(node: Node) -> str | None:
    """`a.b.c` as one name, or None."""
    if node.kind == "ident":
        return node.name
    if node.kind == "select" and not node.test and not node.optional:
        inner = qualified(node.args[0])
        return None if inner is None else f"{inner}.{node.name}"
    return None
