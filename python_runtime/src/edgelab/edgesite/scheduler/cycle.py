"""One decision: which nodes a pod fits on, and which of them is best. No I/O.

Order of kube-scheduler's default plugins (pkg/scheduler/apis/config/v1/default_plugins.go); the
course of a decision is that of pkg/scheduler/schedule_one.go.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgelab.edgesite.scheduler.ledger import Ledger
from edgelab.edgesite.scheduler.lookup import Lookup
from edgelab.edgesite.scheduler.nodeinfo import NodeInfo
from edgelab.edgesite.scheduler.plugins import scores, spread
from edgelab.edgesite.scheduler.plugins.affinity import InterPodAffinity, wishes
from edgelab.edgesite.scheduler.plugins.base import Filter
from edgelab.edgesite.scheduler.plugins.node import (
    NodeAffinity,
    NodeName,
    NodeUnschedulable,
    TaintToleration,
    named_nodes,
    wants_nodes,
)
from edgelab.edgesite.scheduler.plugins.resources import NodePorts, NodeResourcesFit
from edgelab.edgesite.scheduler.plugins.volumes import Binding, VolumeBinding
from edgelab.edgesite.scheduler.podinfo import PodInfo
from edgelab.edgesite.scheduler.verdict import Diagnosis, Refusal, joined

ENOUGH_NODES = 100
"""In larger clusters not every node is looked at: so many that fit are enough, or a share of all."""
LEAST_SHARE, MOST_SHARE = 5, 50


class Cycle:
    """A decision about one pod. `run` gives the nodes that it fits on, `best` one of them."""

    def __init__(self, pod: PodInfo, ledger: Ledger, lookup: Lookup, start: int = 0) -> None:
        self.pod = pod
        self.ledger = ledger
        self.lookup = lookup
        self.nodes = ledger.nodes()
        self.nominated = ledger.wish(pod.uid)
        self.filters: list[Filter] = []
        self.diagnosis = Diagnosis(len(self.nodes))
        self.examined = 0
        self._start = start

    def run(self) -> list[NodeInfo]:
        """The nodes that fit; when there are none `diagnosis` says why."""
        nodes = self.nodes
        refusal = self._prepare()
        if refusal is not None:
            self.diagnosis.before = joined(refusal.reasons)
            self.diagnosis.absent = refusal
            self.diagnosis.plugins.add(refusal.plugin)
            return []
        names = named_nodes(self.pod.obj["spec"])
        if names is not None:
            nodes = [node for node in nodes if node.name in names]
            text = f"node(s) didn't satisfy plugin(s) [{NodeAffinity.name}]"
            self.diagnosis.absent = Refusal(NodeAffinity.name, (text,))
            self.diagnosis.plugins.add(NodeAffinity.name)
        nominated = self.ledger.node(self.nominated) if self.nominated else None
        if nominated is not None and self._passes(nominated):
            return [nominated]
        return self._search(nodes)

    def refusal(self, node: NodeInfo, filters: Sequence[Filter]) -> Refusal | None:
        """The first rule that refuses the node, also when pods for which room was made there had come."""
        others = [
            other
            for other in self.ledger.nominated(node.name)
            if other.priority >= self.pod.priority and other.uid != self.pod.uid
        ]
        if others:
            twin, supposed = node.copy(), [item.copy() for item in filters]
            for other in others:
                twin.add(other)
                for item in supposed:
                    item.moved(other, twin, 1)
            if (refused := _first(supposed, twin)) is not None:
                return refused
        return _first(filters, node)

    def best(self, candidates: Sequence[NodeInfo]) -> NodeInfo:
        """The node with the highest score; among equals the one with the fewest pods, then by name."""
        if len(candidates) == 1:
            return candidates[0]
        totals = self.scores(candidates)
        ranked = sorted(
            zip(totals, candidates, strict=True), key=lambda pair: (-pair[0], len(pair[1].pods), pair[1].name)
        )
        return ranked[0][1]

    def volumes_on(self, node: str) -> Binding | None:
        """What has to be done about the pod's volumes before it is bound to the node."""
        for item in self.filters:
            if isinstance(item, VolumeBinding):
                return item.found.get(node)
        return None

    def scores(self, candidates: Sequence[NodeInfo]) -> list[int]:
        """The weighted sum of all plugins, by candidate."""
        pod = self.pod
        spreading = self._spreading(candidates)
        found = wishes(pod, self.nodes, self.lookup.namespace_labels)
        near = scores.neighbours(found, candidates) if found else [0] * len(candidates)
        preferred = scores.node_affinity(pod, candidates)
        tainted = scores.taints(pod, candidates)
        imaged = scores.images(pod, candidates, self.ledger.images, len(self.nodes))
        return [
            3 * tainted[i]
            + 2 * (preferred[i] + spreading[i] + near[i])
            + scores.least_allocated(pod, node)
            + scores.balance(pod, node)
            + imaged[i]
            for i, node in enumerate(candidates)
        ]

    def _spreading(self, candidates: Sequence[NodeInfo]) -> list[int]:
        own = bool(self.pod.obj["spec"].get("topologySpreadConstraints"))
        if own:
            loose = spread.constraints(self.pod, "ScheduleAnyway")
        else:
            selector = self.lookup.siblings(self.pod)
            kinds = spread.DEFAULTS if selector.requirements else ()
            loose = [spread.Constraint(spec, self.pod, selector) for spec in kinds]
        if not loose:
            return [0] * len(candidates)
        return spread.scores(loose, candidates, self.nodes, strictly=own)

    def _search(self, nodes: Sequence[NodeInfo]) -> list[NodeInfo]:
        wanted, found = enough(len(nodes)), []
        for offset in range(len(nodes)):
            node = nodes[(self._start + offset) % len(nodes)]
            self.examined += 1
            if self._passes(node):
                found.append(node)
                if len(found) == wanted:
                    break
        return found

    def _passes(self, node: NodeInfo) -> bool:
        refused = self.refusal(node, self.filters)
        if refused is None:
            self.diagnosis.refusals.pop(node.name, None)
            return True
        self.diagnosis.refusals[node.name] = refused
        self.diagnosis.plugins.add(refused.plugin)
        return False

    def _prepare(self) -> Refusal | None:
        """Make the rules that have anything to say about this pod."""
        pod, spec, filters = self.pod, self.pod.obj["spec"], self.filters
        filters += [NodeUnschedulable(pod)]
        if spec.get("nodeName"):
            filters.append(NodeName(pod))
        filters.append(TaintToleration(pod))
        if wants_nodes(spec):
            names = named_nodes(spec)
            if names is not None and not names:
                return NodeAffinity.conflict
            filters.append(NodeAffinity(pod))
        if pod.demand.ports:
            filters.append(NodePorts(pod))
        filters.append(NodeResourcesFit(pod))
        if spec.get("volumes") and (refusal := self._volumes()) is not None:
            return refusal
        if strict := spread.constraints(pod, "DoNotSchedule"):
            spreading = spread.PodTopologySpread(pod, strict)
            spreading.look(self.nodes)
            filters.append(spreading)
        affinity = InterPodAffinity(pod, self.lookup.namespace_labels)
        affinity.look(self.nodes)
        if not affinity.is_idle:
            filters.append(affinity)
        return None

    def _volumes(self) -> Refusal | None:
        from edgelab.edgesite.scheduler.storage import volume_filters  # noqa: PLC0415 - rarely needed

        found = volume_filters(self.pod, self.nodes, self.lookup)
        if isinstance(found, Refusal):
            return found
        self.filters += found
        return None


def enough(total: int) -> int:
    """How many fitting nodes are looked for among so many."""
    if total < ENOUGH_NODES:
        return total
    share = max(LEAST_SHARE, MOST_SHARE - total // 125)
    return max(ENOUGH_NODES, total * share // 100)


def _first(filters: Sequence[Filter], node: NodeInfo) -> Refusal | None:
    for item in filters:
        refused = item.refuse(node)
        if refused is not None:
            return refused
    return None
