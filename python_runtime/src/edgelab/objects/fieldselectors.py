"""Field selectors (apimachinery `pkg/fields`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from edgelab.objects.labelselectors import SelectorError


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """`field=value` or `field!=value`."""

    field: str
    value: str
    negate: bool = False


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All terms must hold."""

    terms: tuple[FieldTerm, ...] = ()

    def matches(self, value_of: Callable[[str], str]) -> bool:
        """Whether an object is selected, given a function from field path to its value as text."""
        return all((value_of(term.field) == term.value) is not term.negate for term in self.terms)

    def __bool__(self) -> bool:
        return bool(self.terms)

    def exact(self, field: str) -> str | None:
        """The one value that a field must have, if the selector says so."""
        return next((term.value for term in self.terms if term.field == field and not term.negate), None)


def parse_fields(text: str) -> FieldSelector:
    r"""Read `metadata.name=x,status.phase!=Running`; `\,` `\=` `\\` are escapes. Raises SelectorError."""
    terms = []
    for part in re.split(r"(?<!\\),", text):
        if part in ("", "=", "==", "!="):
            continue
        match = re.match(r"((?:\\.|[^\\=!])*)(!=|==|=)(.*)", part, re.DOTALL)
        if match is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        terms.append(FieldTerm(match[1], _unescaped(match[3]), match[2] == "!="))
    return FieldSelector(tuple(terms))


def _unescaped(value: str) -> str:
    wrong = re.search(r"\\(?![,=\\]).?", re.sub(r"\\[,=\\]", "", value))
    if wrong is not None:
        raise SelectorError(f"invalid field selector: invalid escape sequence: {wrong[0]}")
    if "=" in re.sub(r"\\[,=\\]", "", value):
        raise SelectorError("invalid field selector: unescaped character in value: 61")
    return re.sub(r"\\([,=\\])", r"\1", value)


def field_value(obj: Mapping[str, Any], path: str) -> str:
    """A scalar of an object by its dotted path, as text; empty when absent."""
    node: Any = obj
    for part in path.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    if isinstance(node, bool):
        return "true" if node else "false"
    return "" if node is None else str(node)
