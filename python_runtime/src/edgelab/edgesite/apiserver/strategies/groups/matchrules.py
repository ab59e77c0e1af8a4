"""What requests webhooks and policies want to see: rules, selectors, conditions (`validation.go`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.invalid import Cause, bad, duplicate, required, too_many, unsupported
from edgelab.edgesite.apiserver.strategies import checks

if TYPE_CHECKING:
    from edgelab.edgesite.apiserver.cel.expressions import Expression

Obj = dict[str, Any]

OPERATIONS = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"]
SCOPES = ["*", "Cluster", "Namespaced"]
MATCH_POLICIES = ["Equivalent", "Exact"]
FAILURE_POLICIES = ["Fail", "Ignore"]
MAX_CONDITIONS = 64


def word(obj: Obj, field: str, allowed: list[str], path: str) -> list[Cause]:
    """One of several words, if it is there."""
    value = obj.get(field)
    return [] if value is None or value in allowed else [unsupported(f"{path}.{field}", value, allowed)]


def default_rule(rule: Obj) -> None:
    """SetDefaults_Rule."""
    rule.setdefault("scope", "*")


def default_matching(obj: Obj) -> None:
    """SetDefaults_MatchResources, which webhooks share."""
    obj.setdefault("matchPolicy", "Equivalent")
    obj.setdefault("namespaceSelector", {})
    obj.setdefault("objectSelector", {})


def rule(found: Obj, path: str) -> list[Cause]:
    """validateRuleWithOperations."""
    operations, causes = found.get("operations") or [], []
    if not operations:
        causes.append(required(f"{path}.operations"))
    if len(operations) > 1 and "*" in operations:
        text = "if '*' is present, must not specify other operations"
        causes.append(bad(f"{path}.operations", operations, text))
    for position, operation in enumerate(operations):
        if operation not in OPERATIONS:
            causes.append(unsupported(f"{path}.operations[{position}]", operation, OPERATIONS))
    for field, what in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        values = found.get(field) or []
        causes += [] if values else [required(f"{path}.{field}")]
        if len(values) > 1 and "*" in values:
            text = f"if '*' is present, must not specify other {what}"
            causes.append(bad(f"{path}.{field}", values, text))
        if field == "apiVersions":
            causes += [required(f"{path}.{field}[{i}]") for i, value in enumerate(values) if not value]
    causes += _resources(found.get("resources") or [], f"{path}.resources")
    return causes + word(found, "scope", SCOPES, path)


def named_rule(found: Obj, path: str) -> list[Cause]:
    """validateNamedRuleWithOperations."""
    causes: list[Cause] = []
    seen: set[str] = set()
    for position, name in enumerate(found.get("resourceNames") or ()):
        field = f"{path}.resourceNames[{position}]"
        causes += checks.texts(names.path_segment, name, field)
        causes += [duplicate(field, name)] if name in seen else []
        seen.add(name)
    return causes + rule(found, path)


def _resources(found: list[str], path: str) -> list[Cause]:
    causes = [] if found else [required(path)]
    whole: set[str] = set()
    every: set[str] = set()
    plain = False
    for position, item in enumerate(found):
        field = f"{path}[{position}]"
        if not item:
            causes.append(required(field))
            continue
        resource, slash, part = item.partition("/")
        if not slash:
            plain = item != "*"
            continue
        if resource in whole:
            causes.append(bad(field, item, f"if '{resource}/*' is present, must not specify {item}"))
        if part in every:
            causes.append(bad(field, item, f"if '*/{part}' is present, must not specify {item}"))
        whole |= {resource} if part == "*" else set()
        every |= {part} if resource == "*" else set()
    if len(found) > 1 and "*/*" in found:
        causes.append(bad(path, found, "if '*/*' is present, must not specify other resources"))
    if "*" in found and plain:
        text = "if '*' is present, must not specify other resources without subresources"
        causes.append(bad(path, found, text))
    return causes


def match_resources(found: Obj, path: str) -> list[Cause]:
    """validateMatchResources."""
    causes = word(found, "matchPolicy", MATCH_POLICIES, path)
    for field in ("namespaceSelector", "objectSelector"):
        causes += checks.label_selector(found.get(field), f"{path}.{field}")
    for field in ("resourceRules", "excludeResourceRules"):
        for position, item in enumerate(found.get(field) or ()):
            causes += named_rule(item, f"{path}.{field}[{position}]")
    return causes


def uncompiled(found: Expression, path: str, shown: str | None = None) -> list[Cause]:
    """What is wrong with an expression (convertCELErrorToValidationError)."""
    if found.is_internal:
        return [Cause(path, "InternalError", f"Internal error: {found.error}")]
    return [bad(path, found.source if shown is None else shown, found.error)] if found.error else []


def conditions(found: list[Obj], path: str, *, params: bool = False) -> list[Cause]:
    """validateMatchConditions."""
    from edgelab.edgesite.apiserver.cel.expressions import compiled  # noqa: PLC0415 - rarely needed
    from edgelab.edgesite.apiserver.policies.variables import declared  # noqa: PLC0415 - rarely needed

    causes = [too_many(path, len(found), MAX_CONDITIONS)] if len(found) > MAX_CONDITIONS else []
    seen: set[str] = set()
    for position, item in enumerate(found):
        field, name = f"{path}[{position}]", item.get("name") or ""
        expression = (item.get("expression") or "").strip()
        if not expression:
            causes.append(required(f"{field}.expression"))
        else:
            result = compiled(expression, declared(params=params), ("bool",))
            causes += uncompiled(result, f"{field}.expression")
        where = f"{field}.name"
        causes += checks.label_name(name, where) if name else [required(where)]
        causes += [duplicate(where, name)] if name and name in seen else []
        seen.add(name)
    return causes
