"""What is wrong with literals, besides their types (`cel/validator.go`, `ext/formatting.go`)."""

from __future__ import annotations

from edgelab.edgesite.apiserver.cel.literals import bad_literal
from edgelab.edgesite.apiserver.cel.nodes import Node
from edgelab.edgesite.apiserver.cel.texts import CLAUSE, FORMATTED

EPOCHS = (-62_135_596_800, 253_402_300_799)
"""The seconds that a timestamp may be."""


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
    if used < len(items):
        text = f"too many arguments supplied to string.format (expected {used}, got {len(items)})"
        return [(node.position, text)]
    return []


def bad_literals(node: Node) -> list[tuple[int, str]]:
    """Literals that their function would refuse."""
    found = [pair for inner in node.args for pair in bad_literals(inner)]
    if node.kind == "call" and node.name in ("duration", "timestamp", "matches") and node.args:
        literal = node.args[-1]
        if literal.kind == "literal" and node.name == "timestamp" and literal.name == "int":
            if not EPOCHS[0] <= literal.value <= EPOCHS[1]:
                found.append((literal.position, "invalid timestamp argument"))
        elif literal.kind == "literal" and literal.name == "string" and bad_literal(node.name, literal.value):
            found.append((literal.position, f"invalid {node.name} argument"))
    return found


def qualified(node: Node) -> str | None:
    """`a.b.c` as one name, or None."""
    if node.kind == "ident":
        return node.name
    if node.kind == "select" and not node.test and not node.optional:
        inner = qualified(node.args[0])
        return None if inner is None else f"{inner}.{node.name}"
    return None
