"""Values against the schema of a custom resource, as kube-openapi's validator does it.

Order and wording of errors, and which branch of an anyOf or oneOf is reported, are those of
`kube-openapi/pkg/validation/validate`; what has not changed in an update is forgiven as
`apiextensions-apiserver/pkg/apiserver/validation/ratcheting.go` does.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from edgelab.edgesite.apiserver.custom import formats, golang, patterns
from edgelab.edgesite.apiserver.custom.correlation import Correlation
from edgelab.edgesite.apiserver.custom.errors import (
    Cause,
    child,
    invalid,
    not_supported,
    required,
    too_long,
    too_many,
    type_invalid,
)
from edgelab.edgesite.apiserver.schema import Node
from edgelab.objects.patch.json import same

NAMES: dict[type, str] = {
    bool: "boolean",
    str: "string",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
}
NUMBERS = ("integer", "number")
COMBINING = ("anyOf", "oneOf", "allOf", "not")


class Result:
    """Errors, and how many checks were passed: it tells which branch came closest."""

    __slots__ = ("causes", "count")

    def __init__(self, causes: Iterable[Cause] = (), count: int = 0) -> None:
        self.causes = list(causes)
        self.count = count

    def add(self, cause: Cause) -> None:
        """One more error, unless it is known."""
        if cause not in self.causes:
            self.causes.append(cause)

    def merge(self, other: Result) -> None:
        """Everything of another result."""
        for cause in other.causes:
            self.add(cause)
        self.count += other.count


def validate(value: Any, node: Node, path: str = "", old: Correlation | None = None) -> list[Cause]:
    """What is wrong with a value; `old` is what it was."""
    return _validate(value, node, path, old).causes


def _validate(value: Any, node: Node, path: str, old: Correlation | None) -> Result:
    result = _checks(value, node, path, old)
    if result.causes and old is not None and old.unchanged:
        return Result((), result.count)
    return result


def _checks(value: Any, node: Node, path: str, old: Correlation | None) -> Result:
    result, raw = Result(), node.raw
    types = ("integer", "string") if raw.get("x-kubernetes-int-or-string") else (node.type,)
    form = raw.get("format") or ""
    form = form if form and formats.known(form) else ""
    if value is None:
        if types[0] and not node.nullable:
            result.add(_wrong_type(path, ",".join(types), "null"))
        _enum(value, raw, path, result)
        return result
    if types[0] or form:
        cause = _type(value, types if types[0] else (), form, path)
        if cause is not None:
            result.add(cause)
        else:
            result.count += 1
        result.count += 1
    _combined(value, raw, path, old, result)
    if isinstance(value, str):
        _string(value, raw, path, result)
        if form:
            result.count += 1
            if not formats.fits(form, value):
                result.add(_wrong_type(path, form, value))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _number(value, raw, path, result)
    elif isinstance(value, list):
        _array(value, node, path, old, result)
    _enum(value, raw, path, result)
    if isinstance(value, dict):
        _object(value, node, path, old, result)
    result.count += 2
    return result


def _wrong_type(path: str, wanted: str, found: str) -> Cause:
    text = f"{path} in body must be of type {wanted}: {golang.quote(found)}"
    return type_invalid(path, found, text)


def _type(value: Any, types: tuple[str, ...], form: str, path: str) -> Cause | None:
    name = NAMES[type(value)]
    whole = isinstance(value, float) and value.is_integer() and "integer" in types and abs(value) < 2**53
    fits = name in types or whole or (name == "integer" and "number" in types)
    if form and not isinstance(value, str | list):
        if not fits:
            return _wrong_type(path, form, {"integer": "int64", "number": "float64"}.get(name, ""))
    elif form and not any(item in NUMBERS for item in types):
        return None
    return None if fits else _wrong_type(path, ",".join(types), name)


def _enum(value: Any, raw: dict[str, Any], path: str, result: Result) -> None:
    choices = raw.get("enum")
    if not choices:
        return
    result.count += value is not None
    if value is not None and any(_equals(value, choice) for choice in choices):
        return
    listed = [choice if isinstance(choice, str) else golang.json(choice) for choice in choices]
    result.add(not_supported(path, value, listed))


def _equals(value: Any, choice: Any) -> bool:
    """Go converts the value to the choice's type first."""
    if isinstance(value, float) and isinstance(choice, int) and not isinstance(choice, bool):
        return math.isfinite(value) and int(value) == choice
    return choice is not None and same(value, choice)


def _combined(value: Any, raw: dict[str, Any], path: str, old: Correlation | None, result: Result) -> None:
    """`anyOf`, `oneOf`, `allOf` and `not`."""
    result.count += 2
    if raw.keys().isdisjoint(COMBINING):
        return
    quoted = golang.quote(path)
    any_of, one_of, all_of = (
        [_checks(value, Node(inner), path, old) for inner in raw.get(name) or ()]
        for name in ("anyOf", "oneOf", "allOf")
    )
    if any_of:
        fitting = next((item for item in any_of if not item.causes), None)
        if fitting is None:
            result.add(invalid("", "", f"{quoted} must validate at least one schema (anyOf)"))
        result.merge(fitting or _best(any_of))
    if one_of:
        fits = [item for item in one_of if not item.causes]
        if len(fits) == 1:
            result.merge(fits[0])
        else:
            found = f"Found {len(fits)} valid alternatives" if fits else "Found none valid"
            result.add(invalid("", "", f"{quoted} must validate one and only one schema (oneOf). {found}"))
            if one_of[-1].causes and not fits:
                result.merge(_best(one_of))
    for item in all_of:
        result.merge(item)
    failed = sum(bool(item.causes) for item in all_of)
    if failed:
        none = ". None validated" if failed == len(all_of) else ""
        result.add(invalid("", "", f"{quoted} must validate all the schemas (allOf){none}"))
    if isinstance(raw.get("not"), dict) and not _checks(value, Node(raw["not"]), path, old).causes:
        result.add(invalid("", "", f"{quoted} must not validate the schema (not)"))


def _best(results: list[Result]) -> Result:
    """The first of those with the most checks passed."""
    return max(results, key=lambda result: result.count)


def _string(value: str, raw: dict[str, Any], path: str, result: Result) -> None:
    """The first thing that is wrong with a string."""
    result.count += 1
    if len(value) > raw.get("maxLength", math.inf):
        result.add(too_long(path, raw["maxLength"]))
    elif len(value) < raw.get("minLength", 0):
        text = f"{path} in body should be at least {raw['minLength']} chars long"
        result.add(invalid(path, value, text))
    elif raw.get("pattern") and not patterns.compiled(raw["pattern"]).search(value):
        result.add(invalid(path, value, f"{path} in body should match '{raw['pattern']}'"))


def _number(value: float, raw: dict[str, Any], path: str, result: Result) -> None:
    result.count += 2

    def shown(limit: float) -> str:
        return str(int(limit)) if isinstance(value, int) else golang.number(float(limit))

    factor = raw.get("multipleOf")
    if factor is not None and not _is_multiple(value, factor):
        result.add(invalid(path, value, f"{path} in body should be a multiple of {shown(factor)}"))
    low, high = raw.get("minimum"), raw.get("maximum")
    if isinstance(value, int):
        low, high = (None if limit is None else int(limit) for limit in (low, high))
    if low is not None and (value < low or (raw.get("exclusiveMinimum") and value == low)):
        word = "greater than" if raw.get("exclusiveMinimum") else "greater than or equal to"
        result.add(invalid(path, value, f"{path} in body should be {word} {shown(low)}"))
    if high is not None and (value > high or (raw.get("exclusiveMaximum") and value == high)):
        word = "less than" if raw.get("exclusiveMaximum") else "less than or equal to"
        result.add(invalid(path, value, f"{path} in body should be {word} {shown(high)}"))


def _is_multiple(value: float, factor: float) -> bool:
    if isinstance(value, int):
        return int(factor) > 0 and value % int(factor) == 0
    if factor <= 0:
        return False
    quotient = 1 / factor * value if factor < 1 else value / factor
    return abs(quotient - round(quotient)) < 1e-9


def _array(value: list[Any], node: Node, path: str, old: Correlation | None, result: Result) -> None:
    raw, items, size = node.raw, node.items, len(value)
    result.count += 2
    if items is not None:
        for position, inner in enumerate(value):
            was = old.index(position) if old is not None else None
            result.merge(_validate(inner, items, f"{path}[{position}]", was))
    if size < raw.get("minItems", 0):
        result.add(invalid(path, size, f"{path} in body should have at least {raw['minItems']} items"))
    if size > raw.get("maxItems", math.inf):
        result.add(too_many(path, size, raw["maxItems"]))
    if raw.get("uniqueItems") and any(
        same(left, right) for place, left in enumerate(value) for right in value[:place]
    ):
        result.add(invalid(path, "", f"{path} in body shouldn't contain duplicates"))


def _object(value: dict[str, Any], node: Node, path: str, old: Correlation | None, result: Result) -> None:
    raw, size = node.raw, len(value)
    result.count += 1
    if size < raw.get("minProperties", 0):
        text = f"{path} in body should have at least {raw['minProperties']} properties"
        result.add(invalid(path, size, text))
    if size > raw.get("maxProperties", math.inf):
        result.add(too_many(path, size, raw["maxProperties"]))
    names = raw.get("properties") or {}
    if raw.get("additionalProperties") is False:
        for name in sorted(set(value) - set(names)):
            text = f"{path}.{name} in body is a forbidden property"
            result.add(invalid(path, name, text))
    elif node.values is not None:
        for name in sorted(set(value) - set(names)):
            was = old.key(name) if old is not None else None
            result.merge(_validate(value[name], node.values, child(path, name), was))
    for name in sorted(names.keys() & value.keys()):
        field = node.field(name)
        was = old.key(name) if old is not None and (path or name not in ("kind", "apiVersion")) else None
        if field is not None:
            result.merge(_validate(value[name], field, child(path, name), was))
    for name in raw.get("required") or ():
        if name not in value:
            result.add(required(child(path, name)))
