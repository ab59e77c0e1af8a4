"""When a Job has failed or succeeded: podFailurePolicy and successPolicy."""

from __future__ import annotations

import re
from typing import Any

from edgelab.edgesite.apiserver import layouts
from edgelab.edgesite.apiserver.invalid import (
    OMITTED,
    Cause,
    bad,
    duplicate,
    required,
    too_long,
    too_many,
    unsupported,
)
from edgelab.edgesite.apiserver.strategies import checks

Obj = dict[str, Any]

ACTIONS = ["Count", "FailIndex", "FailJob", "Ignore"]
OPERATORS = ["In", "NotIn"]
STATUSES = ["False", "True", "Unknown"]
MAX_RULES = 20
MAX_CODES = 255
MAX_INDEXES = 64 << 10


def _choices(words: list[str]) -> str:
    return "valid values: [" + " ".join(f'"{word}"' for word in words) + "]"


def failure(spec: Obj, path: str) -> list[Cause]:
    """podFailurePolicy."""
    policy = spec.get("podFailurePolicy")
    if policy is None:
        return []
    rules, pod = policy.get("rules") or [], (spec.get("template") or {}).get("spec") or {}
    causes = [too_many(f"{path}.rules", len(rules), MAX_RULES)] if len(rules) > MAX_RULES else []
    containers = {c.get("name") for f in ("containers", "initContainers") for c in pod.get(f) or ()}
    for position, rule in enumerate(rules):
        field = f"{path}.rules[{position}]"
        causes += _action(spec, rule.get("action") or "", f"{field}.action")
        codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or []
        if codes is not None:
            causes += _exit_codes(codes, containers, f"{field}.onExitCodes")
        causes += _conditions(conditions, f"{field}.onPodConditions")
        both = "specifying both OnExitCodes and OnPodConditions is not supported"
        one = "specifying one of OnExitCodes and OnPodConditions is required"
        if (codes is not None) == bool(conditions):
            causes.append(bad(field, OMITTED, both if conditions else one))
    return causes


def _action(spec: Obj, action: str, path: str) -> list[Cause]:
    if not action:
        return [required(path, _choices(ACTIONS))]
    if action == "FailIndex" and "backoffLimitPerIndex" not in spec:
        return [bad(path, action, "requires the backoffLimitPerIndex to be set")]
    return [] if action in ACTIONS else [unsupported(path, action, ACTIONS)]


def _conditions(patterns: list[Obj], path: str) -> list[Cause]:
    causes = [too_many(path, len(patterns), MAX_RULES)] if len(patterns) > MAX_RULES else []
    for position, pattern in enumerate(patterns):
        field, status = f"{path}[{position}]", pattern.get("status") or ""
        causes += checks.label_name(pattern.get("type") or "", f"{field}.type")
        if status not in STATUSES:
            causes.append(unsupported(f"{field}.status", status, STATUSES))
    return causes


def _exit_codes(found: Obj, containers: set[str | None], path: str) -> list[Cause]:
    operator, name, values = (
        found.get("operator") or "",
        found.get("containerName"),
        found.get("values") or [],
    )
    causes: list[Cause] = []
    if not operator:
        causes.append(required(f"{path}.operator", _choices(OPERATORS)))
    elif operator not in OPERATORS:
        causes.append(unsupported(f"{path}.operator", operator, OPERATORS))
    if name is not None and name not in containers:
        text = "must be one of the container or initContainer names in the pod template"
        causes.append(bad(f"{path}.containerName", name, text))
    field = f"{path}.values"
    if not values:
        causes.append(bad(field, found.get("values"), "at least one value is required"))
    elif len(values) > MAX_CODES:
        causes.append(too_many(field, len(values), MAX_CODES))
    for position, value in enumerate(values):
        if operator == "In" and value == 0:
            causes.append(bad(f"{field}[{position}]", value, "must not be 0 for the In operator"))
        if value in values[:position]:
            causes.append(duplicate(f"{field}[{position}]", value))
    if values != sorted(values):
        causes.append(bad(field, values, "must be ordered"))
    return causes


def success(spec: Obj, path: str) -> list[Cause]:
    """successPolicy."""
    policy = spec.get("successPolicy")
    if policy is None:
        return []
    if spec.get("completionMode") != "Indexed":
        shown = layouts.shown("batch.SuccessPolicy", policy)
        return [bad(path, shown, "requires indexed completion mode")]
    rules, field, causes = policy.get("rules") or [], f"{path}.rules", []
    if not rules:
        text = "at least one rules must be specified when the successPolicy is specified"
        causes.append(required(field, text))
    if len(rules) > MAX_RULES:
        causes.append(too_many(field, len(rules), MAX_RULES))
    for position, rule in enumerate(rules):
        causes += _success_rule(rule, spec.get("completions") or 0, f"{field}[{position}]")
    return causes


def _success_rule(rule: Obj, completions: int, path: str) -> list[Cause]:
    count, indexes, causes, total = rule.get("succeededCount"), rule.get("succeededIndexes"), [], 0
    if count is None and indexes is None:
        text = "at least one of succeededCount or succeededIndexes must be specified"
        causes.append(required(path, text))
    if indexes is not None:
        field = f"{path}.succeededIndexes"
        causes += [too_long(field, MAX_INDEXES)] if len(indexes) > MAX_INDEXES else []
        total, problem = count_indexes(indexes, completions)
        if problem:
            causes.append(bad(field, indexes, f"error parsing succeededIndexes: {problem}"))
    if count is not None:
        field = f"{path}.succeededCount"
        causes += checks.nonnegative(count, field)
        if count > completions:
            text = f"must be less than or equal to {completions} (the number of specified completions)"
            causes.append(bad(field, count, text))
        if indexes is not None and count > total:
            text = f"must be less than or equal to {total} (the number of indexes in the specified"
            causes.append(bad(field, count, f"{text} succeededIndexes field)"))
    return causes


def count_indexes(text: str, completions: int) -> tuple[int, str]:
    """How many indexes `0-3,5` are, or what is wrong with them."""
    last, total = None, 0
    for part in text.split(",") if text else ():
        ends = part.split("-")
        if len(ends) > 2:
            problem = f'the fragment "{part}" violates the requirement that an index interval can have'
            return 0, f"{problem} at most two parts separated by '-'"
        numbers = []
        for end in ends:
            if not re.fullmatch("[+-]?[0-9]+", end):
                return 0, f'cannot convert string to integer for index: "{end}"'
            if int(end) >= completions:
                return 0, f'too large index: "{end}"'
            numbers.append(int(end))
        low, high = numbers[0], numbers[-1]
        if len(numbers) == 2 and low >= high:
            return 0, f"non-increasing order, previous: {low}, current: {high}"
        if last is not None and last >= low:
            return 0, f"non-increasing order, previous: {last}, current: {low}"
        total, last = total + high - low + 1, high
    return total, ""
