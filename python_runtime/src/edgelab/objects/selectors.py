"""Label and field selectors (apimachinery `pkg/labels`, `pkg/fields`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_TOKEN = re.compile(r"\s*(==|!=|=|!|,|\(|\)|<|>|[A-Za-z0-9_./-]+)")
_KEY = re.compile(r"([a-z0-9A-Z.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?")


class SelectorError(ValueError):
    """A selector that cannot be read; the message says where."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition: `operator` is in, notin, exists, !, gt or lt."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a label set fulfils the condition (a missing key fulfils notin)."""
        value = labels.get(self.key)
        if self.operator == "in":
            return value is not None and value in self.values
        if self.operator == "notin":
            return value is None or value not in self.values
        if self.operator == "exists":
            return value is not None
        if self.operator == "!":
            return value is None
        try:
            number, limit = int(value or ""), int(next(iter(self.values)))
        except ValueError:
            return False
        return number > limit if self.operator == "gt" else number < limit


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold; without any, everything matches (unless `nothing`)."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """Whether the labels of an object (None for none) are selected."""
        if self.nothing:
            return False
        present = labels or {}
        return all(requirement.matches(present) for requirement in self.requirements)

    def __bool__(self) -> bool:
        return self.nothing or bool(self.requirements)


EVERYTHING = LabelSelector()
NOTHING = LabelSelector(nothing=True)


def parse_labels(text: str) -> LabelSelector:
    """Read `a=1,b!=x,c in (y,z),d notin (q),e,!f`. Raises SelectorError."""
    tokens = _tokens(text)
    requirements: list[Requirement] = []
    while tokens:
        requirements.append(_requirement(tokens))
        if tokens:
            _expect(tokens, ",")
            if not tokens:
                raise SelectorError("found '', expected: identifier after ','")
    return LabelSelector(tuple(requirements))


def _tokens(text: str) -> list[str]:
    tokens, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise SelectorError(f"unable to parse requirement: unexpected character {text[position]!r}")
        tokens.append(match[1])
        position = match.end()
    return tokens


def _expect(tokens: list[str], *wanted: str) -> str:
    found = tokens.pop(0) if tokens else ""
    if found not in wanted:
        raise SelectorError(f"found '{found}', expected: {', '.join(repr(item) for item in wanted)}")
    return found


def _requirement(tokens: list[str]) -> Requirement:
    if tokens[0] == "!":
        tokens.pop(0)
        return Requirement(_key(tokens), "!")
    key = _key(tokens)
    if not tokens or tokens[0] == ",":
        return Requirement(key, "exists")
    operator = _expect(tokens, "=", "==", "!=", "in", "notin", ">", "<")
    if operator in ("in", "notin"):
        return Requirement(key, operator, _set(tokens))
    value = "" if not tokens or tokens[0] == "," else _value(tokens)
    if operator in (">", "<"):
        return Requirement(key, "gt" if operator == ">" else "lt", frozenset({value}))
    return Requirement(key, "notin" if operator == "!=" else "in", frozenset({value}))


def _key(tokens: list[str]) -> str:
    key = tokens.pop(0) if tokens else ""
    if not _KEY.fullmatch(key):
        raise SelectorError(f"unable to parse requirement: {key!r} is not a valid label key")
    return key


def _value(tokens: list[str]) -> str:
    value = tokens.pop(0)
    if not _VALUE.fullmatch(value):
        raise SelectorError(f"unable to parse requirement: {value!r} is not a valid label value")
    return value


def _set(tokens: list[str]) -> frozenset[str]:
    _expect(tokens, "(")
    values: list[str] = []
    while tokens and tokens[0] != ")":
        if tokens[0] == ",":
            values.append("")
        else:
            values.append(_value(tokens))
        if tokens and tokens[0] == ",":
            tokens.pop(0)
            if tokens and tokens[0] == ")":
                values.append("")
    _expect(tokens, ")")
    return frozenset(values)


def from_object(selector: Mapping[str, Any] | None) -> LabelSelector:
    """A metav1.LabelSelector as it stands in objects: None selects nothing, {} everything."""
    if selector is None:
        return NOTHING
    requirements = [
        Requirement(key, "in", frozenset({value}))
        for key, value in (selector.get("matchLabels") or {}).items()
    ]
    operators = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}
    for expression in selector.get("matchExpressions") or []:
        operator = operators.get(expression.get("operator", ""))
        if operator is None:
            raise SelectorError(f"{expression.get('operator')!r} is not a valid label selector operator")
        values = frozenset(expression.get("values") or [])
        requirements.append(Requirement(expression["key"], operator, values))
    return LabelSelector(tuple(requirements))


def from_labels(labels: Mapping[str, str] | None) -> LabelSelector:
    """The plain form of Services and nodeSelectors: every pair must be there; empty selects nothing."""
    if not labels:
        return NOTHING
    return LabelSelector(tuple(Requirement(key, "in", frozenset({value})) for key, value in labels.items()))


def format_labels(selector: Mapping[str, Any] | None) -> str:
    """A metav1.LabelSelector as kubectl prints it: `app=web,tier in (a,b)`; `<none>` for an empty one."""
    if selector is None:
        return "<none>"
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or []:
        key, values = expression["key"], ",".join(sorted(expression.get("values") or []))
        forms = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}
        parts.append(forms.get(expression["operator"], f"!{key}"))
    return ",".join(parts) or "<none>"


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
        if not part:
            continue
        match = re.match(r"((?:\\.|[^\\=!])*)(!=|==|=)(.*)", part, re.DOTALL)
        if match is None:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        value = re.sub(r"\\([,=\\])", r"\1", match[3])
        terms.append(FieldTerm(match[1].strip(), value, match[2] == "!="))
    return FieldSelector(tuple(terms))


def field_value(obj: Mapping[str, Any], path: str) -> str:
    """A scalar of an object by its dotted path, as text; empty when absent."""
    node: Any = obj
    for part in path.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    if isinstance(node, bool):
        return "true" if node else "false"
    return "" if node is None else str(node)
