"""Rules of custom resources (`x-kubernetes-validations`), applied to objects.

What follows `apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from edgelab.edgesite.apiserver.cel.comprehensions import CALL_LIMIT, Environment, Program
from edgelab.edgesite.apiserver.cel.nodes import CelError, CostExceeded
from edgelab.edgesite.apiserver.cel.programs import Compiled, compile_rule
from edgelab.edgesite.apiserver.cel.schematypes import self_type, value_for
from edgelab.edgesite.apiserver.cel.values import NONE, Optional
from edgelab.edgesite.apiserver.custom import fieldpath, internal
from edgelab.edgesite.apiserver.custom.correlation import Correlation, by_key, list_key
from edgelab.edgesite.apiserver.custom.errors import Cause, child, duplicate, invalid, key
from edgelab.edgesite.apiserver.invalid import forbidden, required
from edgelab.edgesite.apiserver.schema import Node

Obj = dict[str, Any]

BUDGET = 10_000_000
MAX_MESSAGE = 5 * 1024
EXTENSION = "x-kubernetes-validations"


class Spent(Exception):
    """No rule is evaluated any more."""


class _Place(NamedTuple):
    """A value, what it was, and how both are correlated (itself, or the nearest that can be)."""

    path: str
    new: Any
    old: Any
    here: Correlation | None
    above: Correlation | None

    @property
    def forgiven(self) -> bool:
        """Whether what is wrong here was wrong before and has not changed."""
        found = self.here or self.above
        return found is not None and found.unchanged


class Validator:
    """The rules of a schema and of everything below it."""

    def __init__(self, schema: Obj, values: Obj, *, root: bool) -> None:
        self._schema = schema
        self._root = root or bool(schema.get("x-kubernetes-embedded-resource"))
        self._rules: list[Obj] = list(values.get(EXTENSION) or ())
        self._compiled: list[Compiled] | None = None
        self.node = Node(schema)
        self.items = _inner(schema.get("items"), values.get("items"))
        self.values = _inner(schema.get("additionalProperties"), values.get("additionalProperties"))
        own, theirs = schema.get("properties") or {}, values.get("properties") or {}
        fields = ((name, _inner(own.get(name), theirs[name])) for name in theirs)
        self.fields = {name: found for name, found in fields if found is not None}
        found = (_validator(schema, nested, root=root) for nested in values.get("allOf") or ())
        self.all_of = [item for item in found if item is not None]
        self.empty = not (self._rules or self.items or self.values or self.fields or self.all_of)

    def compiled(self) -> list[Compiled]:
        """The rules, compiled when they are first needed."""
        if self._compiled is None:
            found = self_type(self._schema, root=self._root)
            self._compiled = [] if found is None else [compile_rule(rule, found) for rule in self._rules]
        return self._compiled

    def evaluate(self, place: _Place, budget: Budget) -> Iterator[Cause]:
        """The rules of this schema that a value breaks."""
        if place.new is None or not self._rules:
            return
        new = value_for(place.new, self._schema, root=self._root)
        old = value_for(place.old, self._schema, root=self._root)
        for rule, compiled in zip(self._rules, self.compiled(), strict=False):
            if budget.left <= 0:
                yield self._invalid(place, OUT_OF_BUDGET)
                raise Spent
            optional = bool(rule.get("optionalOldSelf"))
            if compiled.program is None or (compiled.uses_old and place.old is None and not optional):
                continue
            names = {"self": new}
            if optional:
                names["oldSelf"] = NONE if place.old is None else Optional(True, old)
            elif place.old is not None:
                names["oldSelf"] = old
            yield from self._apply(rule, compiled, names, place, budget)

    def _invalid(self, place: _Place, text: str) -> Cause:
        return invalid(place.path, self._schema.get("type") or "", text)

    def _apply(
        self, rule: Obj, compiled: Compiled, names: Obj, place: _Place, budget: Budget
    ) -> Iterator[Cause]:
        assert compiled.program is not None
        try:
            holds = budget.run(compiled.program, names)
        except CostExceeded as error:
            text = (
                f"'{error}': no further validation rules will be run due to call cost exceeds limit for rule"
            )
            yield self._invalid(place, f"{text}: {_named(rule)}")
            raise Spent from error
        except CelError as error:
            if str(error).startswith("no such overload"):
                text = (
                    "call arguments did not match a supported operator, function or macro signature for rule"
                )
                yield self._invalid(place, f"'{error}': {text}: {_named(rule)}")
            else:
                yield self._invalid(place, f"{error} evaluating rule: {_named(rule)}")
            return
        if budget.left < 0:
            yield self._invalid(place, OUT_OF_BUDGET)
            raise Spent
        if holds is True:
            return
        cause = self._broken(rule, compiled, names, place, budget)
        if compiled.uses_old or not place.forgiven:
            yield cause
        else:
            budget.warnings.append(f"{cause.field}: {cause.message}")

    def _broken(self, rule: Obj, compiled: Compiled, names: Obj, place: _Place, budget: Budget) -> Cause:
        path = place.path
        if rule.get("fieldPath") and not (found := fieldpath.read(rule["fieldPath"], self._schema)).error:
            path = child(path, found.path) if path else found.path.removeprefix(".")
        detail = _message(compiled.message, names, budget) or _default_message(rule)
        reason = rule.get("reason")
        if reason == "FieldValueForbidden":
            return forbidden(path or "<nil>", detail)
        if reason == "FieldValueRequired":
            return required(path or "<nil>", detail)
        shown = self._schema.get("type") not in ("object", "array")
        if reason == "FieldValueDuplicate":
            if shown:
                return duplicate(path, place.new)
            return Cause(path or "<nil>", reason, "Duplicate value")
        if shown:
            return invalid(path, place.new, detail)
        return Cause(path or "<nil>", "FieldValueInvalid", f"Invalid value: {detail}")


class Budget:
    """What the rules of one object may cost together."""

    def __init__(self) -> None:
        self.left = BUDGET
        self.warnings: list[str] = []

    def run(self, program: Program, names: Obj) -> Any:
        """Evaluate. Raises CelError."""
        environment = Environment(dict(names), CALL_LIMIT)
        try:
            return program(environment)
        finally:
            self.left -= environment.cost


OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


def _named(rule: Obj) -> str:
    return str(rule.get("message") or rule["rule"]).strip()


def _default_message(rule: Obj) -> str:
    return str(rule["message"]).strip() if rule.get("message") else f"failed rule: {rule['rule'].strip()}"


def _message(program: Program | None, names: Obj, budget: Budget) -> str:
    """What the expression of a message gives; nothing if it does not work."""
    if program is None:
        return ""
    try:
        found = budget.run(program, names)
    except CelError:
        return ""
    text = found.strip() if isinstance(found, str) else ""
    return "" if "\n" in text or len(text.encode()) > MAX_MESSAGE else text


def _inner(schema: Any, values: Any) -> Validator | None:
    if not isinstance(schema, dict) or not isinstance(values, dict):
        return None
    return _validator(schema, values, root=False)


def _validator(schema: Obj, values: Obj, *, root: bool) -> Validator | None:
    if not any(inner.get(EXTENSION) for inner in internal.inner_schemas(values)):
        return None
    found = Validator(schema, values, root=root)
    return None if found.empty else found


class SchemaRules:
    """The rules of one version of a definition."""

    def __init__(self, validator: Validator) -> None:
        self._validator = validator

    def check(
        self, obj: Obj, old: Obj | None, correlation: Correlation | None
    ) -> tuple[list[Cause], list[str]]:
        """The rules that an object breaks; and those that it broke before and that are forgiven."""
        causes: list[Cause] = []
        budget = Budget()
        try:
            for cause in _walk(self._validator, _Place("", obj, old, correlation, None), budget):
                causes.append(cause)
        except Spent:
            pass
        return causes, budget.warnings


def for_schema(schema: Obj, *, root: bool = True) -> SchemaRules | None:
    """The rules of a schema; None if it has none."""
    found = _validator(schema, schema, root=root)
    return None if found is None else SchemaRules(found)


def _walk(validator: Validator, place: _Place, budget: Budget) -> Iterator[Cause]:
    if place.new is None:
        return
    yield from validator.evaluate(place, budget)
    for nested in validator.all_of:
        yield from _walk(nested, place._replace(here=None), budget)
    if isinstance(place.new, list):
        yield from _walk_list(validator, place, budget)
    elif isinstance(place.new, dict):
        yield from _walk_map(validator, place, budget)


def _walk_list(validator: Validator, place: _Place, budget: Budget) -> Iterator[Cause]:
    if validator.items is None:
        return
    node = validator.node
    before = by_key(place.old, node) if node.list_type == "map" else {}
    for position, item in enumerate(place.new):
        name = list_key(item, node.list_keys) if before else None
        here = place.here.index(position) if place.here is not None else None
        above = place.here or place.above
        old = before.get(name) if name is not None else None
        inner = _Place(f"{place.path}[{position}]", item, old, here, above)
        yield from _walk(validator.items, inner, budget)


def _walk_map(validator: Validator, place: _Place, budget: Budget) -> Iterator[Cause]:
    old = place.old if isinstance(place.old, dict) else {}
    for name in sorted(place.new):
        field = validator.fields.get(name)
        inner, path = field, child(place.path, name)
        if field is None:
            if validator.values is None:
                continue
            inner, path = validator.values, key(place.path, name)
        assert inner is not None
        here = place.here.key(name) if place.here is not None else None
        found = _Place(path, place.new[name], old.get(name), here, place.here or place.above)
        yield from _walk(inner, found, budget)
