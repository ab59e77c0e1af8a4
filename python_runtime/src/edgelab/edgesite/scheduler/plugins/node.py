"""Rules about a node as such: unschedulable, named, tainted, selected. No I/O.

Facts: pkg/scheduler/framework/plugins/{nodeunschedulable,nodename,tainttoleration,nodeaffinity}.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgelab.edgesite.scheduler.nodeinfo import NodeInfo
from edgelab.edgesite.scheduler.nodes import is_selected, tolerates
from edgelab.edgesite.scheduler.plugins.base import Unmoved
from edgelab.edgesite.scheduler.podinfo import PodInfo
from edgelab.edgesite.scheduler.terms import REQUIRED
from edgelab.edgesite.scheduler.verdict import Refusal

UNSCHEDULABLE_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
HARD = ("NoSchedule", "NoExecute")


class NodeUnschedulable(Unmoved):
    """A cordoned node takes only pods that tolerate it."""

    name = "NodeUnschedulable"
    refusal = Refusal(name, ("node(s) were unschedulable",))

    def __init__(self, pod: PodInfo) -> None:
        tolerations = pod.obj["spec"].get("tolerations") or ()
        self._tolerated = any(tolerates(item, UNSCHEDULABLE_TAINT) for item in tolerations)

    def refuse(self, node: NodeInfo) -> Refusal | None:
        """Why not."""
        return self.refusal if node.spec.get("unschedulable") and not self._tolerated else None


class NodeName(Unmoved):
    """A pod may name its node."""

    name = "NodeName"
    refusal = Refusal(name, ("node(s) didn't match the requested node name",))

    def __init__(self, pod: PodInfo) -> None:
        self._wanted = pod.obj["spec"].get("nodeName") or ""

    def refuse(self, node: NodeInfo) -> Refusal | None:
        """Why not."""
        return self.refusal if self._wanted not in ("", node.name) else None


class TaintToleration(Unmoved):
    """Taints that the pod does not tolerate; the first one is named."""

    name = "TaintToleration"

    def __init__(self, pod: PodInfo) -> None:
        self._tolerations: Sequence[Mapping[str, Any]] = pod.obj["spec"].get("tolerations") or ()

    def refuse(self, node: NodeInfo) -> Refusal | None:
        """Why not."""
        taint = first_untolerated(node.spec.get("taints") or (), self._tolerations)
        if taint is None:
            return None
        text = f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value') or ''}}}"
        return Refusal(self.name, (text,))


def first_untolerated(
    taints: Sequence[Mapping[str, Any]], tolerations: Sequence[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """The first taint that keeps pods away and is not tolerated."""
    for taint in taints:
        if taint.get("effect") in HARD and not any(tolerates(item, taint) for item in tolerations):
            return taint
    return None


class NodeAffinity(Unmoved):
    """nodeSelector and required node affinity."""

    name = "NodeAffinity"
    refusal = Refusal(name, ("node(s) didn't match Pod's node affinity/selector",))
    conflict = Refusal(name, ("pod affinity terms conflict",))

    def __init__(self, pod: PodInfo) -> None:
        self._spec = pod.obj["spec"]

    def refuse(self, node: NodeInfo) -> Refusal | None:
        """Why not."""
        return None if is_selected(self._spec, node.labels, node.name) else self.refusal


def wants_nodes(spec: Mapping[str, Any]) -> bool:
    """Whether the pod selects nodes at all."""
    return spec.get("nodeSelector") is not None or _required(spec) is not None


def named_nodes(spec: Mapping[str, Any]) -> frozenset[str] | None:
    """The only nodes that come into question because every term names some; None without such terms."""
    terms = (_required(spec) or {}).get("nodeSelectorTerms") or ()
    found: set[str] = set()
    for term in terms:
        named = [
            set(field.get("values") or ())
            for field in term.get("matchFields") or ()
            if field.get("key") == "metadata.name" and field.get("operator") == "In"
        ]
        if not named:
            return None
        found |= set.intersection(*named)
    return frozenset(found) if terms else None


def _required(spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    found: Mapping[str, Any] | None = affinity.get(REQUIRED)
    return found
