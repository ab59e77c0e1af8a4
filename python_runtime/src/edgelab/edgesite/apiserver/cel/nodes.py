"""The syntax tree of an expression."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class CelError(Exception):
    """An expression cannot be evaluated; the message is cel-go's."""


class CostExceeded(CelError):
    """An expression costs more than it may."""


@dataclass(slots=True)
class Node:
    """One expression. `kind` tells what the other fields mean.

    literal: value. ident: name. select: args[0].name (`test`: has(); `optional`: `.?`). call: name(args),
    `member` if args[0] is its target. list, map (args are keys and values in turn): `optionals` are the
    positions of `?` elements. struct: name. comp: macro `name` over args[0] with `variables`; args[1:] are
    its expressions.
    """

    kind: str
    position: int
    name: str = ""
    value: Any = None
    args: list[Node] = field(default_factory=list)
    member: bool = False
    test: bool = False
    optional: bool = False
    optionals: frozenset[int] = frozenset()
    variables: tuple[str, ...] = ()


class Failures(Exception):
    """What is wrong with the text of an expression: (position, message) pairs."""

    def __init__(self, source: str, found: list[tuple[int, str]]) -> None:
        super().__init__(f"{len(found)} errors")
        self.source = source
        self.found = found

    def shown(self) -> str:
        """The errors with the lines they are in, as cel-go shows them."""
        found = sorted(self.found, key=lambda pair: pair[0])
        return "\n".join(_shown(self.source, position, message) for position, message in found)


def _shown(source: str, position: int, message: str) -> str:
    before = source[:position]
    line = before.count("\n")
    column = len(before) - (before.rfind("\n") + 1)
    snippet = source.split("\n")[line].replace("\t", " ") if source else ""
    dots = "".join("\uff0e" if len(char.encode()) > 1 else "." for char in snippet[:column])
    wide = column < len(snippet) and len(snippet[column].encode()) > 1
    mark = dots + ("\uff3e" if wide else "^")
    return f"ERROR: <input>:{line + 1}:{column + 1}: {message}\n | {snippet}\n | {mark}"
