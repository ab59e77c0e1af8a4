"""Reads label selectors as apimachinery `pkg/labels` does, with its words for what is wrong."""

from __future__ import annotations

import re

from edgelab.objects.labelnames import label_value, qualified
from edgelab.objects.labelselectors import LabelSelector, Requirement, SelectorError

_TOKEN = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)")
_SYMBOLS = frozenset(("==", "=", "!=", "!", "(", ")", ",", "<", ">"))
_OPERATORS = ("in", "notin", "=", "==", "!=", "<", ">")


def parse_labels(text: str) -> LabelSelector:
    """Read `a=1,b!=x,c in (y,z),d notin (q),e,!f`. Raises SelectorError."""
    return _Parser(_TOKEN.findall(text)).selector()


class _Parser:
    def __init__(self, tokens: list[str]) -> None:
        self._tokens = tokens
        self._position = 0

    def _ahead(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else ""

    def _next(self) -> str:
        word = self._ahead()
        self._position += 1
        return word

    def selector(self) -> LabelSelector:
        found: list[Requirement] = []
        while (word := self._ahead()) != "":
            if word in _SYMBOLS and word != "!":
                raise SelectorError(f"found '{word}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self._requirement())
            except SelectorError as error:
                raise SelectorError(f"unable to parse requirement: {error}") from error
            word = self._next()
            if word == "":
                break
            if word != ",":
                raise SelectorError(f"found '{word}', expected: ',' or 'end of string'")
            word = self._ahead()
            if word != "!" and (word == "" or word in _SYMBOLS):
                raise SelectorError(f"found '{word}', expected: identifier after ','")
        return LabelSelector(tuple(found))

    def _requirement(self) -> Requirement:
        word = self._next()
        absent = word == "!"
        key = self._next() if absent else word
        if key == "" or key in _SYMBOLS:
            raise SelectorError(f"found '{key}', expected: identifier")
        problems = qualified(key)
        if problems:
            raise SelectorError(f"<nil>: Invalid value: {_quoted(key)}: {'; '.join(problems)}")
        if absent:
            return Requirement(key, "!")
        if self._ahead() in ("", ","):
            return Requirement(key, "exists")
        operator = self._next()
        if operator not in _OPERATORS:
            raise SelectorError(f"found '{operator}', expected: in, notin, =, ==, !=, gt, lt")
        values = self._values() if operator in ("in", "notin") else {self._value()}
        if operator in ("<", ">"):
            return _compared(key, operator, values)
        return Requirement(key, "notin" if operator in ("!=", "notin") else "in", _checked(key, values))

    def _value(self) -> str:
        if self._ahead() in ("", ","):
            return ""
        word = self._next()
        if word in _SYMBOLS:
            raise SelectorError(f"found '{word}', expected: identifier")
        return word

    def _values(self) -> set[str]:
        word = self._next()
        if word != "(":
            raise SelectorError(f"found '{word}' expected: '('")
        word = self._ahead()
        if word == ")":
            self._next()
            return {""}
        if word != "," and (word == "" or word in _SYMBOLS):
            raise SelectorError(f"found '{word}', expected: ',', ')' or identifier")
        return self._listed()

    def _listed(self) -> set[str]:
        found: set[str] = set()
        while True:
            word = self._next()
            if word == ",":
                found.add("")
                if self._ahead() == ")":
                    break
                if self._ahead() == ",":
                    self._next()
                continue
            if word == "" or word in _SYMBOLS:
                raise SelectorError(f"found '{word}', expected: ',', or identifier")
            found.add(word)
            after = self._ahead()
            if after == ")":
                break
            if after != ",":
                raise SelectorError(f"found '{after}', expected: ',' or ')'")
            self._next()
            if self._ahead() == ")":
                found.add("")
                break
        self._next()
        return found


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _checked(key: str, values: set[str]) -> frozenset[str]:
    wrong = [
        f"values[{position}][{key}]: Invalid value: {_quoted(value)}: {'; '.join(problems)}"
        for position, value in enumerate(sorted(values))
        if (problems := label_value(value))
    ]
    if wrong:
        raise SelectorError(wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]")
    return frozenset(values)


def _compared(key: str, operator: str, values: set[str]) -> Requirement:
    (value,) = values
    if not re.fullmatch(r"[+-]?[0-9]+", value):
        text = "for 'Gt', 'Lt' operators, the value must be an integer"
        raise SelectorError(f"values[0]: Invalid value: {_quoted(value)}: {text}")
    return Requirement(key, "gt" if operator == ">" else "lt", _checked(key, values))
