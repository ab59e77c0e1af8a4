"""Whether the pods of a DaemonSet or Deployment may come to edge nodes, and how to keep them off. No I/O.

Facts: terms of a required node affinity are alternatives, the expressions of one term hold together, and a
term without any matches no node (k8s.io/component-helpers/scheduling/corev1/nodeaffinity). KubeEdge's nodes
carry the label `node-role.kubernetes.io/edge`.
"""

from __future__ import annotations

import copy
from enum import StrEnum
from typing import Any

Obj = dict[str, Any]

EDGE_LABEL = "node-role.kubernetes.io/edge"
NOT_EDGE = {"key": EDGE_LABEL, "operator": "DoesNotExist"}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
WORKLOADS = ("DaemonSet", "Deployment")


class Reach(StrEnum):
    """Where the pods of a workload may run, as far as edge nodes go."""

    off = "off"
    only = "only"
    open = "open"


def reach(workload: Obj) -> Reach:
    """Where the pods of a DaemonSet or Deployment may run, by nodeSelector and required node affinity."""
    spec = _pod_spec(workload)
    terms = _terms(spec)
    if terms is not None and all(_excludes(term) for term in terms):
        return Reach.off
    if EDGE_LABEL in (spec.get("nodeSelector") or {}):
        return Reach.only
    if terms is not None and all(_demands(term) for term in terms):
        return Reach.only
    return Reach.open


def tolerates_edge(workload: Obj) -> bool:
    """Whether a taint `node-role.kubernetes.io/edge:NoSchedule` would not keep the pods away."""
    return any(
        toleration.get("key") in (None, "", EDGE_LABEL)
        and toleration.get("effect") in (None, "", "NoSchedule")
        for toleration in _pod_spec(workload).get("tolerations") or ()
    )


def off_edge(workload: Obj) -> Obj:
    """A copy whose pods stay off edge nodes; the affinity that was there goes on to hold."""
    changed = copy.deepcopy(workload)
    spec = _pod_spec(changed)
    terms = _terms(spec)
    kept = [_with({})] if terms is None else [t if _excludes(t) else _with(t) for t in terms]
    affinity = spec["affinity"] = spec.get("affinity") or {}
    node = affinity["nodeAffinity"] = affinity.get("nodeAffinity") or {}
    node[REQUIRED] = {**(node.get(REQUIRED) or {}), "nodeSelectorTerms": kept}
    return changed


def all_off_edge(objects: list[Obj]) -> list[Obj]:
    """Objects of a manifest, its DaemonSets and Deployments kept off edge nodes unless made for them."""
    return [
        off_edge(obj) if obj.get("kind") in WORKLOADS and reach(obj) is Reach.open else obj for obj in objects
    ]


def affinity_of(workload: Obj) -> Obj:
    """The node affinity of the pods; an empty dict when there is none."""
    affinity: Obj = (_pod_spec(workload).get("affinity") or {}).get("nodeAffinity") or {}
    return affinity


def _pod_spec(workload: Obj) -> Obj:
    spec: Obj = workload["spec"]["template"]["spec"]
    return spec


def _terms(spec: Obj) -> list[Obj] | None:
    """Terms of the required node affinity; None when it requires nothing."""
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(REQUIRED) or {}
    return required.get("nodeSelectorTerms") or None


def _excludes(term: Obj) -> bool:
    """Whether no edge node fits; a term without expressions and fields fits no node at all."""
    expressions = term.get("matchExpressions") or []
    if not expressions and not term.get("matchFields"):
        return True
    return any(e.get("key") == EDGE_LABEL and e.get("operator") == "DoesNotExist" for e in expressions)


def _demands(term: Obj) -> bool:
    expressions = term.get("matchExpressions") or []
    return any(e.get("key") == EDGE_LABEL and e.get("operator") in ("Exists", "In") for e in expressions)


def _with(term: Obj) -> Obj:
    return {**term, "matchExpressions": [*(term.get("matchExpressions") or []), dict(NOT_EDGE)]}
