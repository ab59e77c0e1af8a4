"""Macros: calls that are part of the language (`parser/macro.go`, `ext/comprehensions.go`)."""

from __future__ import annotations

from edgelab.edgesite.apiserver.cel.nodes import Failures, Node

QUANTIFIERS = ("all", "exists", "exists_one", "existsOne")
TRANSFORMS = ("transformList", "transformMap", "transformMapEntry")


def expand(source: str, name: str, position: int, target: Node | None, args: list[Node]) -> Node | None:
    """What a call stands for if it is a macro. Raises Failures."""
    if target is None:
        return _has(source, position, args) if name == "has" and len(args) == 1 else None
    count = len(args)
    if (name in QUANTIFIERS and count in (2, 3)) or (name in TRANSFORMS and count in (3, 4)):
        names = 2 if name in TRANSFORMS or count == 3 else 1
        return _comprehension(source, name, position, [target, *args], names=names)
    if (name == "map" and count in (2, 3)) or (name == "filter" and count == 2):
        return _comprehension(source, name, position, [target, *args], names=1)
    if (name in ("optMap", "optFlatMap", "sortBy")) and count == 2:
        return _comprehension(source, name, position, [target, *args], names=1)
    return None


def _has(source: str, position: int, args: list[Node]) -> Node:
    operand = args[0]
    if operand.kind != "select" or operand.optional:
        raise Failures(source, [(operand.position, "invalid argument to has() macro")])
    return Node("select", position, operand.name, args=operand.args, test=True)


def _comprehension(source: str, name: str, position: int, parts: list[Node], *, names: int) -> Node:
    target, *args = parts
    variables = []
    for node in args[:names]:
        if node.kind != "ident":
            text = "argument must be a simple name" if names == 1 else "argument is not an identifier"
            raise Failures(source, [(node.position, text)])
        if node.name == "__result__":
            raise Failures(source, [(node.position, "iteration variable overwrites accumulator variable")])
        variables.append(node.name)
    if names == 2 and variables[0] == variables[1]:
        raise Failures(source, [(args[1].position, f"duplicate variable name: {variables[1]}")])
    shape = {"exists_one": "existsOne"}.get(name, name)
    return Node("comp", position, shape, args=[target, *args[names:]], variables=tuple(variables))
