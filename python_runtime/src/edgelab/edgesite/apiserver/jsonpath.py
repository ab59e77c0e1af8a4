"""The part of JSONPath that printer columns use: `.a.b`, `['a.b']`, `[0]`, `[*]`, `[?(@.k=="v")]`."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

_STEP = re.compile(
    r"\.(?P<field>(?:\\.|[^.\[\]\\])+)"
    r"|\[(?P<index>-?\d+)\]"
    r"|\[(?P<all>\*)\]"
    r"|\[['\"](?P<quoted>[^'\"]+)['\"]\]"
    r"|\[\?\(@\.(?P<key>[\w.]+)\s*==\s*['\"]?(?P<value>[^'\")]*)['\"]?\)\]"
)
Path = Callable[[Any], list[Any]]


@functools.lru_cache(maxsize=512)
def compile_path(text: str) -> Path:
    """A function that gives all values at a path; an unreadable path finds nothing."""
    text = text.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    steps, position = [], 0
    while position < len(text):
        match = _STEP.match(text, position)
        if match is None:
            return lambda node: []
        steps.append(match.groupdict())
        position = match.end()

    def find(node: Any) -> list[Any]:
        found = [node]
        for step in steps:
            found = [value for item in found for value in _take(item, step)]
        return found

    return find


def _take(node: Any, step: dict[str, str | None]) -> Iterator[Any]:
    name = step["quoted"] or (step["field"] or "").replace("\\.", ".")
    if name == "*" or step["all"]:
        yield from node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    elif name and isinstance(node, dict) and name in node:
        yield node[name]
    elif step["index"] is not None and isinstance(node, list):
        index = int(step["index"])
        if -len(node) <= index < len(node):
            yield node[index]
    elif step["key"] and isinstance(node, list):
        for item in node:
            inner: Any = item
            for part in step["key"].split("."):
                inner = inner.get(part) if isinstance(inner, dict) else None
            if inner is not None and str(inner) == step["value"]:
                yield item
