"""What a policy says of a request with one parameter (`policy/validating/validator.go`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from edgelab.edgesite.apiserver.policies.compiling import Policy
from edgelab.edgesite.apiserver.policies.evaluating import (
    BUDGET,
    CONDITIONS_BUDGET,
    OutOfBudget,
    Result,
    Run,
    unmet,
)

Obj = dict[str, Any]

MAX_MESSAGE = 5 << 10


class Decision(NamedTuple):
    """Of one validation."""

    denied: bool
    message: str = ""
    reason: str = ""


@dataclass(slots=True)
class Decisions:
    """Of all validations, in their order; what goes into the audit log; errors of that."""

    made: list[Decision] = field(default_factory=list)
    annotations: list[tuple[str, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def decide(policy: Policy, names: Obj, access: Obj) -> Decisions:
    """Validate; `access` are the variables that ask the authorizer, which not all expressions have."""
    conditions = Run({**names, "namespaceObject": None, **access}, CONDITIONS_BUDGET, policy.variables)
    failed = unmet(policy.conditions, conditions)
    if failed is not None:
        return Decisions([Decision(policy.fails, failed.error)] if failed.error and policy.fails else [])
    run = Run({**names, **access}, BUDGET, policy.variables)
    try:
        results = [run.evaluate(expression) for expression in policy.validations]
    except OutOfBudget as error:
        return Decisions([Decision(policy.fails, str(error))])
    messages, unaffordable = _messages(policy, names, run.left)
    found = Decisions()
    for position, result in enumerate(results):
        if result.error:
            found.made.append(Decision(policy.fails, result.error))
        elif unaffordable:
            found.made.append(Decision(policy.fails, f"failed messageExpression: {unaffordable}"))
        elif result.value is True:
            found.made.append(Decision(denied=False))
        else:
            validation = policy.spec["validations"][position]
            message = _message(messages[position], validation)
            found.made.append(Decision(True, message, validation.get("reason") or "Invalid"))
    return _annotated(policy, names, found)


def _messages(policy: Policy, names: Obj, budget: int) -> tuple[list[Result], str]:
    """What the expressions of messages give, and whether they cost too much."""
    run = Run(names, budget, policy.variables)
    try:
        return [Result() if item is None else run.evaluate(item) for item in policy.messages], ""
    except OutOfBudget as error:
        return [], str(error)


def _message(result: Result, validation: Obj) -> str:
    text = result.value.strip() if isinstance(result.value, str) else ""
    if "\n" in text or len(text.encode()) > MAX_MESSAGE:
        text = ""
    given = (validation.get("message") or "").strip()
    return text or given or f"failed expression: {validation['expression'].strip()}"


def _annotated(policy: Policy, names: Obj, found: Decisions) -> Decisions:
    run = Run(names, BUDGET, policy.variables)
    try:
        results = [run.evaluate(expression) for expression in policy.annotations]
    except OutOfBudget as error:
        return Decisions([Decision(policy.fails, str(error))])
    for item, result in zip(policy.spec.get("auditAnnotations") or (), results, strict=True):
        if result.error:
            found.errors += [result.error] if policy.fails else []
        elif isinstance(result.value, str) and result.value.strip():
            found.annotations.append((item["key"], result.value.strip()))
    return found
