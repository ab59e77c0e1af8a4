"""Whether a pod may be on a node by selector, affinity and taints. No I/O.

Facts: k8s.io/component-helpers/scheduling/corev1 (`nodeaffinity`, `helpers.go`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edgelab.kube.interface import Obj
from edgelab.objects.metadata import labels
from edgelab.objects.selectors import Requirement

_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}


def matches_node(pod: Obj, node: Obj) -> bool:
    """Whether nodeSelector and required node affinity allow the node."""
    return is_selected(pod["spec"], labels(node), node["metadata"]["name"])


def is_selected(spec: Mapping[str, Any], present: Mapping[str, str], name: str) -> bool:
    """The same for a pod's spec, and a node's labels and name."""
    selector = spec.get("nodeSelector") or {}
    if any(present.get(key) != value for key, value in selector.items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(is_term(term, present, name) for term in required.get("nodeSelectorTerms") or ())


def term_matches(term: Mapping[str, Any], node: Obj) -> bool:
    """Whether a term of a node selector selects the node."""
    return is_term(term, labels(node), node["metadata"]["name"])


def is_term(term: Mapping[str, Any], present: Mapping[str, str], name: str) -> bool:
    """Whether all expressions of a term hold; a term without any matches nothing."""
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    field = {"metadata.name": name}
    return all(_holds(e, present) for e in expressions) and all(_holds(e, field) for e in fields)


def _holds(expression: Mapping[str, Any], values: Mapping[str, str]) -> bool:
    operator = _OPERATORS.get(expression.get("operator", ""))
    if operator is None:
        return False
    wanted = frozenset(expression.get("values") or ())
    return Requirement(expression["key"], operator, wanted).matches(values)


def preference(spec: Mapping[str, Any], present: Mapping[str, str], name: str) -> int:
    """Sum of the weights of the preferred terms that the node fulfils."""
    terms = preferred_terms(spec)
    return sum(int(term["weight"]) for term in terms if is_term(term["preference"], present, name))


def preferred_terms(spec: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The pod's preferred node affinity."""
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    return affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()


def taints(node: Obj, effects: Iterable[str]) -> list[Obj]:
    """The node's taints of the given effects."""
    wanted = set(effects)
    return [taint for taint in (node.get("spec") or {}).get("taints") or () if taint.get("effect") in wanted]


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Whether one toleration covers one taint; an empty key with Exists covers every taint."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    operator = toleration.get("operator") or "Equal"
    if operator == "Equal":
        return (toleration.get("value") or "") == (taint.get("value") or "")
    return bool(operator == "Exists")


def tolerations_for(pod: Obj, taint: Mapping[str, Any]) -> list[Obj]:
    """The pod's tolerations that cover the taint."""
    return [item for item in pod["spec"].get("tolerations") or () if tolerates(item, taint)]


def untolerated(pod: Obj, node: Obj, effects: Iterable[str]) -> list[Obj]:
    """Taints of the given effects that the pod does not tolerate."""
    return [taint for taint in taints(node, effects) if not tolerations_for(pod, taint)]


def tolerates_all(pod: Obj, node: Obj, effects: Iterable[str]) -> bool:
    """Whether the pod tolerates every taint of the given effects."""
    return not untolerated(pod, node, effects)
