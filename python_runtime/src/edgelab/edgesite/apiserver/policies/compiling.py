"""A policy compiled: its expressions with the types of what they may name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edgelab.edgesite.apiserver.cel.expressions import Expression, compiled, composed
from edgelab.edgesite.apiserver.cel.types import Type
from edgelab.edgesite.apiserver.policies.variables import declared

Obj = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Policy:
    """`messages` has an item for each validation: its messageExpression, or None."""

    name: str
    spec: Obj
    variables: tuple[tuple[str, Expression], ...]
    conditions: tuple[Expression, ...]
    validations: tuple[Expression, ...]
    messages: tuple[Expression | None, ...]
    annotations: tuple[Expression, ...]

    @property
    def fails(self) -> bool:
        """Whether what goes wrong is a refusal."""
        return bool(self.spec.get("failurePolicy") != "Ignore")


def compile_policy(obj: Obj) -> Policy:
    """compilePolicy."""
    spec = obj["spec"]
    params = spec.get("paramKind") is not None
    fields: dict[str, Type] = {}
    variables = []
    for variable in spec.get("variables") or ():
        found = compiled(variable["expression"], declared(params=params, composed=dict(fields)))
        fields[variable["name"]] = composed(found.gives)
        variables.append((variable["name"], found))
    full = declared(params=params, composed=fields)
    plain = declared(params=params, authorizer=False, composed=fields)
    validations = spec.get("validations") or ()
    return Policy(
        obj["metadata"]["name"],
        spec,
        tuple(variables),
        _all((item["expression"] for item in spec.get("matchConditions") or ()), full, "bool"),
        _all((item["expression"] for item in validations), full, "bool"),
        tuple(
            compiled(item["messageExpression"], plain, ("string",)) if item.get("messageExpression") else None
            for item in validations
        ),
        _all(
            (item["valueExpression"] for item in spec.get("auditAnnotations") or ()),
            full,
            "string",
            "null_type",
        ),
    )


def _all(sources: Iterable[str], variables: dict[str, Type], *wanted: str) -> tuple[Expression, ...]:
    return tuple(compiled(source, variables, wanted) for source in sources)
