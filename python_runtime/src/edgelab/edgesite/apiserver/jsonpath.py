"""JSONPath as printer columns use it (`client-go/util/jsonpath`).

`.a.b`, `['a.b']`, `[0]`, `[-1]`, `[0,2]`, `[1:3]`, `[*]`, `..a`, `[?(@.k == "v")]` and `[?(@.k)]`.
"""

from __future__ import annotations

import functools
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

_STEP = re.compile(
    r"\.\.(?P<deep>[^.\[\]]+)"
    r"|\.(?P<field>(?:\\.|[^.\[\]\\])+)"
    r"|\[\?\((?P<filter>.*?)\)\]"
    r"|\[['\"](?P<quoted>[^'\"]+)['\"]\]"
    r"|\[(?P<slice>-?\d*:-?\d*(?::-?\d*)?)\]"
    r"|\[(?P<index>-?\d+(?:,-?\d+)*)\]"
    r"|\[(?P<all>\*)\]"
)
_FILTER = re.compile(r"\s*@(?P<path>[^=!<>\s]*)\s*(?:(?P<operator>==|!=|<=|>=|<|>)\s*(?P<value>.+?))?\s*")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    ">=": operator.ge,
}
Path = Callable[[Any], list[Any]]
Step = Callable[[Any], Iterator[Any]]


@functools.lru_cache(maxsize=512)
def compile_path(text: str) -> Path:
    """A function that gives all values at a path; an unreadable path finds nothing."""
    text = text.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    steps, position = [], 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            return lambda node: []
        steps.append(_step(match))
        position = match.end()

    def find(node: Any) -> list[Any]:
        found = [node]
        for step in steps:
            found = [value for item in found for value in step(item)]
        return found

    return find


def _step(match: re.Match[str]) -> Step:
    kind, text = match.lastgroup or "", match[match.lastgroup or 0]
    if kind == "deep":
        return lambda node: _deep(node, text)
    if kind == "filter":
        return _filter(text)
    if kind == "slice":
        parts = [int(part) if part else None for part in text.split(":")]
        return lambda node: iter(node[slice(*parts)]) if isinstance(node, list) else iter(())
    if kind == "index":
        places = [int(part) for part in text.split(",")]
        return lambda node: _at(node, places)
    name = text.replace("\\.", ".") if kind == "field" else text
    return _every if name == "*" else lambda node: _field(node, name)


def _field(node: Any, name: str) -> Iterator[Any]:
    if isinstance(node, dict) and name in node:
        yield node[name]


def _every(node: Any) -> Iterator[Any]:
    yield from node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()


def _at(node: Any, places: list[int]) -> Iterator[Any]:
    if isinstance(node, list):
        yield from (node[place] for place in places if -len(node) <= place < len(node))


def _deep(node: Any, name: str) -> Iterator[Any]:
    if isinstance(node, dict):
        yield from _field(node, name)
    for inner in _every(node):
        yield from _deep(inner, name)


def _filter(text: str) -> Step:
    match = _FILTER.fullmatch(text)
    if match is None:
        return lambda node: iter(())
    left, name, right = compile_path(match["path"]), match["operator"], _literal(match["value"] or "")

    def run(node: Any) -> Iterator[Any]:
        for item in node if isinstance(node, list) else ():
            found = left(item)
            if found and (name is None or _holds(name, found[0], right)):
                yield item

    return run


def _holds(name: str, left: Any, right: Any) -> bool:
    if isinstance(left, bool):
        left = "true" if left else "false"
    try:
        return _COMPARE[name](left, right)
    except TypeError:
        return False


def _literal(text: str) -> Any:
    if text[:1] in ("'", '"') and text[-1:] == text[:1]:
        return text[1:-1]
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text
