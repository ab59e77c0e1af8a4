"""Objects and values that the recorded scenarios send: what the fuzzer starts from."""

from __future__ import annotations

import copy
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.edgesite.fuzzing.choices import Choices

Obj = dict[str, Any]

VECTORS = Path(__file__).parents[1] / "vectors"
LARGEST = 20_000
ODD: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    1.5,
    2**31,
    -(2**31) - 1,
    2**63,
    2**64 + 1,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "",
    " ",
    "x",
    "a/b",
    "..",
    "0",
    "-1",
    "1.5Gi",
    "1e400",
    "%",
    "110%",
    "true",
    "\x00",
    "\ud800",
    "\u2028é😀",
    "A" * 300,
    "x" * 100_000,
    "2026-01-01T00:00:00Z",
    "2026-13-45T99:00:00Z",
    "10.0.0.1",
    "::1",
    "300.1.1.1/33",
    [],
    {},
    [None],
    [[]],
    [{}],
    {"": ""},
    {"a": None},
    {"$patch": "delete"},
    {"$patch": "replace", "x": 1},
    {"$retainKeys": ["x"]},
    {'k:{"name":"a"}': {}},
)


DEEP = "@deep:{kind}:{levels}"
"""Stands for a value nested that many levels, which only text can hold; `sending` puts it in."""


class Corpus:
    """Bodies by kind, and values by the name of the field they were seen in."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], list[Obj]] = defaultdict(list)
        self.values: dict[str, list[Any]] = defaultdict(list)
        self.keys: list[str] = []
        for path in sorted(VECTORS.glob("*.steps.json")):
            for step in json.loads(path.read_text()):
                self._read(step)
        self.keys = sorted(self.values)

    def _read(self, step: Obj) -> None:
        body = step.get("body")
        if not isinstance(body, dict) or len(json.dumps(body)) > LARGEST:
            return
        body = json.loads(re.sub(r"\{\{[^{}]*\}\}", "-r", json.dumps(body)))
        if step.get("do", "").startswith("POST") and isinstance(body.get("kind"), str):
            self.objects[str(body.get("apiVersion")), body["kind"]].append(body)
        for name, value in fields(body):
            if value not in self.values[name] and len(self.values[name]) < 60:
                self.values[name].append(value)

    def value(self, choices: Choices, name: str) -> Any:
        """Something that was seen in a field of that name, or something odd."""
        known = self.values.get(name)
        if known and not choices.rarely(3):
            return copy.deepcopy(choices.pick(known))
        return odd(choices)

    def object(self, choices: Choices, api_version: str, kind: str) -> Obj | None:
        """One that was sent, if any of the kind was."""
        known = self.objects.get((api_version, kind))
        return copy.deepcopy(choices.pick(known)) if known else None


def odd(choices: Choices) -> Any:
    """A value that is seldom right."""
    if choices.rarely(30):
        return choices.text()
    if choices.rarely(60):
        return DEEP.format(kind=choices.pick(("list", "object")), levels=choices.pick((60, 990, 10_100)))
    return copy.deepcopy(choices.pick(ODD))


def fields(node: Any) -> Iterator[tuple[str, Any]]:
    """Every field below a value with what it holds."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield name, value
            yield from fields(value)
    elif isinstance(node, list):
        for item in node:
            yield from fields(item)


def places(node: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of everything below a value."""
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, value in pairs:
        yield (*above, name)
        if len(above) < 20:
            yield from places(value, (*above, name))


def mutated(obj: Any, corpus: Corpus, choices: Choices, times: int = 1) -> Any:
    """The object with that many changes at any place."""
    obj = copy.deepcopy(obj)
    for _ in range(times):
        found = list(places(obj))
        if found:
            _change(obj, choices.pick(found), corpus, choices)
    return obj


def _change(obj: Any, where: tuple[str | int, ...], corpus: Corpus, choices: Choices) -> None:
    *above, last = where
    holder = obj
    for part in above:
        holder = holder[part]
    name = next((part for part in reversed(where) if isinstance(part, str)), "")
    action = choices.below(6)
    if action == 0:
        del holder[last]
    elif action == 1:
        holder[last] = odd(choices)
    elif action == 2 and isinstance(holder, list):
        holder.insert(choices.below(len(holder) + 1), copy.deepcopy(holder[last]))
    elif action == 3 and isinstance(holder[last], dict):
        added = choices.pick(corpus.keys)
        holder[last][added] = corpus.value(choices, added)
    else:
        holder[last] = corpus.value(choices, name)
