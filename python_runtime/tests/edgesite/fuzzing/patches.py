"""Patches of the four types, drawn from the object that they are for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from tests.edgesite.fuzzing.choices import Choices
from tests.edgesite.fuzzing.corpus import Corpus, mutated, odd, places

Obj = dict[str, Any]

OPERATIONS = ("add", "replace", "remove", "test", "move", "copy", "nonsense")
SERVER_FIELDS = ("managedFields", "uid", "resourceVersion", "creationTimestamp", "generation")


def pointer(where: tuple[str | int, ...], choices: Choices) -> str:
    """A JSON pointer to a place, or to one nearby that may not be there."""
    parts = [str(part).replace("~", "~0").replace("/", "~1") for part in where]
    wrong = choices.below(12)
    if wrong == 8:
        parts.append("-")
    elif wrong == 9:
        parts.append(choices.pick(("0", "-1", "99", "01", "x", "~2", "", "1e0", "\u0661")))
    elif wrong == 10 and parts:
        parts[-1] = choices.pick(("-", "0", "name", "9999999999999999999"))
    elif wrong == 11:
        return choices.pick(("", "/", "x", "//", "/metadata/name", "/metadata"))
    return "".join(f"/{part}" for part in parts)


def json_patch(obj: Obj, corpus: Corpus, choices: Choices) -> Any:
    """RFC 6902, mostly."""
    found = list(places(obj))
    operations = []
    for _ in range(1 + choices.below(3)):
        where = choices.pick(found) if found else ()
        name = str(where[-1]) if where else ""
        one: Obj = {"op": choices.pick(OPERATIONS), "path": pointer(where, choices)}
        if one["op"] in ("move", "copy"):
            one["from"] = pointer(choices.pick(found) if found else (), choices)
        elif one["op"] != "remove":
            one["value"] = corpus.value(choices, name)
        if choices.rarely(20):
            one.pop(choices.pick(sorted(one)))
        if choices.rarely(30):
            one[choices.pick(("op", "path", "from"))] = odd(choices)
        operations.append(one)
    return odd(choices) if choices.rarely(30) else operations


def merge_patch(obj: Obj, corpus: Corpus, choices: Choices) -> Any:
    """Some fields of a changed object; nulls where there was something."""
    if choices.rarely(25):
        return odd(choices)
    changed = mutated(obj, corpus, choices, 1 + choices.below(3))
    kept = choices.some(sorted(changed), 3)
    found = {name: changed[name] for name in kept}
    _without_server_fields(found)
    if choices.rarely(4):
        where = choices.pick(list(places(obj)) or [("x",)])
        holder = found
        for part in where[:-1]:
            inner = holder.get(str(part))
            holder[str(part)] = inner if isinstance(inner, dict) else {}
            holder = holder[str(part)]
        holder[str(where[-1])] = None
    return found


def strategic_patch(obj: Obj, corpus: Corpus, choices: Choices) -> Any:
    """A merge patch with directives in it."""
    found = merge_patch(obj, corpus, choices)
    for _ in range(choices.below(3)):
        holders = [found, *(_at(found, where) for where in places(found))]
        holder = choices.pick(holders)
        if isinstance(holder, list):
            holder.append(
                choices.pick(({"$patch": "replace"}, {"$patch": "delete", "name": "a"}, {"$patch": 1}))
            )
        elif isinstance(holder, dict):
            name = choices.pick(sorted(holder) or ["containers"])
            _directive(holder, name, choices)
    return found


def _directive(holder: Obj, name: str, choices: Choices) -> None:
    which = choices.below(6)
    if which == 0:
        holder["$patch"] = choices.pick(("replace", "delete", "merge", "nonsense", 1, None))
    elif which == 1:
        holder[f"$setElementOrder/{name}"] = choices.pick(
            ([{"name": "a"}, {"name": "b"}], ["a"], [], [{}], "x", None)
        )
    elif which == 2:
        holder[f"$deleteFromPrimitiveList/{name}"] = choices.pick(
            (["a"], [1], [{}], "x", None, ["kubernetes"])
        )
    elif which == 3:
        holder["$retainKeys"] = choices.pick(([name], [], ["x"], "x", None, [1]))
    elif which == 4:
        holder[choices.pick(("$setElementOrder", "$deleteFromPrimitiveList/", "$x/y", "$patch/x"))] = odd(
            choices
        )
    else:
        holder[name] = [{"$patch": "delete", "name": "a"}, {"name": "b"}, {"$patch": "replace"}]


def _at(node: Any, where: tuple[str | int, ...]) -> Any:
    for part in where:
        node = node[part]
    return node


def applied(obj: Obj, corpus: Corpus, choices: Choices) -> Any:
    """A configuration: the object as a user would have it, changed."""
    if choices.rarely(30):
        return odd(choices)
    found = copy.deepcopy(obj)
    _without_server_fields(found)
    if choices.rarely(2):
        found.pop("status", None)
    return mutated(found, corpus, choices, choices.below(3))


def _without_server_fields(obj: Obj) -> None:
    metadata = obj.get("metadata")
    for name in SERVER_FIELDS if isinstance(metadata, dict) else ():
        metadata.pop(name, None)


DRAWN: dict[str, Callable[[Obj, Corpus, Choices], Any]] = {
    "application/json-patch+json": json_patch,
    "application/merge-patch+json": merge_patch,
    "application/strategic-merge-patch+json": strategic_patch,
    "application/apply-patch+yaml": applied,
}
