"""Whether a node fits a pod's nodeSelector and required node affinity (component-helpers `nodeaffinity`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgelab.objects.selectors import Requirement

Obj = dict[str, Any]

OPERATORS = {
    "In": "in",
    "NotIn": "notin",
    "Exists": "exists",
    "DoesNotExist": "!",
    "Gt": "gt",
    "Lt": "lt",
}


def fits(pod: Obj, node: str, labels: Mapping[str, str]) -> bool:
    """Whether the node of that name with these labels is one of those that the pod asks for."""
    spec = pod["spec"]
    if any(labels.get(key) != value for key, value in (spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    return any(_term(term, node, labels) for term in required.get("nodeSelectorTerms") or [])


def _term(term: Obj, node: str, labels: Mapping[str, str]) -> bool:
    """All expressions of a term hold together; a term without any fits no node."""
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    return all(_holds(e, labels) for e in expressions) and all(
        _holds(e, {"metadata.name": node}) for e in fields
    )


def _holds(expression: Obj, labels: Mapping[str, str]) -> bool:
    operator = OPERATORS.get(str(expression.get("operator")))
    if operator is None:
        return False
    values = frozenset(str(value) for value in expression.get("values") or [])
    return Requirement(str(expression["key"]), operator, values).matches(labels)
