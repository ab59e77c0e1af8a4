"""The rules in a definition: what is wrong with them before any object is there."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.cel.programs import compile_rule
from edgelab.edgesite.apiserver.cel.schematypes import self_type
from edgelab.edgesite.apiserver.custom import internal
from edgelab.edgesite.apiserver.custom.errors import Cause, child, invalid, key

Obj = dict[str, Any]

EXTENSION = "x-kubernetes-validations"


def check_schema(schema: Obj, path: str) -> list[Cause]:
    """What is wrong with the rules in a schema that is otherwise right."""
    return _check(schema, path, uncorrelated="", root=True)


def _check(schema: Obj, path: str, *, uncorrelated: str, root: bool) -> list[Cause]:
    causes: list[Cause] = []
    values = schema.get("additionalProperties")
    if isinstance(values, dict):
        where = child(path, "additionalProperties")
        causes += _check(values, where, uncorrelated=uncorrelated, root=False)
    for name, inner in (schema.get("properties") or {}).items():
        where = key(child(path, "properties"), name)
        causes += _check(inner, where, uncorrelated=uncorrelated, root=False)
    if isinstance(schema.get("items"), dict):
        lost = uncorrelated or (path if schema.get("x-kubernetes-list-type") != "map" else "")
        causes += _check(schema["items"], child(path, "items"), uncorrelated=lost, root=False)
    return causes + _check_own(schema, path, uncorrelated=uncorrelated, root=root)


def _check_own(schema: Obj, path: str, *, uncorrelated: str, root: bool) -> list[Cause]:
    rules = schema.get(EXTENSION) or ()
    whole = root or bool(schema.get("x-kubernetes-embedded-resource"))
    found = self_type(schema, root=whole) if rules else None
    causes: list[Cause] = []
    for position, rule in enumerate(rules if found is not None else ()):
        assert found is not None
        where, compiled = f"{child(path, EXTENSION)}[{position}]", compile_rule(rule, found)
        shown = internal.rule(rule)
        if compiled.error:
            causes.append(invalid(child(where, "rule"), shown, compiled.error))
        if compiled.message_error:
            causes.append(invalid(child(where, "messageExpression"), shown, compiled.message_error))
        if compiled.uses_old and not compiled.error:
            if uncorrelated:
                text = "oldSelf cannot be used on the uncorrelatable portion of the schema within"
                causes.append(invalid(child(where, "rule"), rule["rule"], f"{text} {uncorrelated}"))
        elif rule.get("optionalOldSelf") is not None:
            text = "may not be set if oldSelf is not used in rule"
            causes.append(invalid(child(where, "optionalOldSelf"), rule["optionalOldSelf"], text))
    return causes
