"""Which nodes a pod may run on, and why not on the others. No I/O.

Order and wording of kube-scheduler's plugins: NodeUnschedulable, NodeName, TaintToleration,
NodeAffinity, NodePorts, NodeResourcesFit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from edgelab.edgesite.scheduler.demand import Demand, Load, allocatable
from edgelab.edgesite.scheduler.nodes import matches_node, tolerations_for, untolerated
from edgelab.kube.interface import Obj

UNSCHEDULABLE_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
NO_NODES = "no nodes available to schedule pods"


class Refusal(NamedTuple):
    """Why a node was refused, and whether removing pods from it could help."""

    reasons: tuple[str, ...]
    preemptible: bool = False


def check(pod: Obj, asked: Demand, node: Obj, load: Load) -> Refusal | None:
    """The first filter that refuses the node, or None when it fits."""
    if (node.get("spec") or {}).get("unschedulable") and not tolerations_for(pod, UNSCHEDULABLE_TAINT):
        return Refusal(("node(s) were unschedulable",))
    if pod["spec"].get("nodeName") not in (None, "", node["metadata"]["name"]):
        return Refusal(("node(s) didn't match the requested node name",))
    for taint in untolerated(pod, node, ("NoSchedule", "NoExecute")):
        return Refusal((f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}",))
    if not matches_node(pod, node):
        return Refusal(("node(s) didn't match Pod's node affinity/selector",))
    if any(port.conflicts(taken) for port in asked.ports for taken, count in load.ports.items() if count):
        return Refusal(("node(s) didn't have free ports for the requested pod ports",), preemptible=True)
    short = tuple(_short(asked, node, load))
    return Refusal(short, preemptible=True) if short else None


def _short(asked: Demand, node: Obj, load: Load) -> Iterable[str]:
    """What there is too little of."""
    offered = allocatable(node)
    if load.pods + 1 > offered.get("pods", 0):
        yield "Too many pods"
    for name, needed in asked.requests.items():
        if needed > offered.get(name, 0) - load.requests[name]:
            yield f"Insufficient {name}"


def explain(refusals: list[Refusal]) -> str:
    """The message of the condition and of the event, as `FitError.Error` builds it."""
    if not refusals:
        return NO_NODES
    total = len(refusals)
    reasons = Counter(reason for refusal in refusals for reason in refusal.reasons)
    text = f"0/{total} nodes are available: {_histogram(reasons)}."
    hopeless = sum(1 for refusal in refusals if not refusal.preemptible)
    preemption: Counter[str] = Counter()
    if hopeless:
        preemption["Preemption is not helpful for scheduling"] = hopeless
    if total - hopeless:
        preemption["No preemption victims found for incoming pod"] = total - hopeless
    return f"{text} preemption: 0/{total} nodes are available: {_histogram(preemption)}."


def _histogram(reasons: Counter[str]) -> str:
    return ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))
