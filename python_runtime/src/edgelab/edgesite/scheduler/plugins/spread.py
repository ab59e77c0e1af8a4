"""Pods that are to be spread evenly over zones, nodes or other domains. No I/O.

Facts: pkg/scheduler/framework/plugins/podtopologyspread; the cluster's own defaults (hostname with
maxSkew 3, zone with maxSkew 5) only order nodes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edgelab.edgesite.scheduler.nodeinfo import NodeInfo
from edgelab.edgesite.scheduler.nodes import is_selected
from edgelab.edgesite.scheduler.plugins.node import first_untolerated, wants_nodes
from edgelab.edgesite.scheduler.podinfo import PodInfo
from edgelab.edgesite.scheduler.terms import Kin, with_keys
from edgelab.edgesite.scheduler.verdict import Refusal
from edgelab.objects.selectors import LabelSelector, from_object

NAME = "PodTopologySpread"
SKEW = Refusal(NAME, ("node(s) didn't match pod topology spread constraints",), preemptible=True)
NO_LABEL = Refusal(NAME, ("node(s) didn't match pod topology spread constraints (missing required label)",))
HOSTNAME, ZONE = "kubernetes.io/hostname", "topology.kubernetes.io/zone"
DEFAULTS = ({"topologyKey": HOSTNAME, "maxSkew": 3}, {"topologyKey": ZONE, "maxSkew": 5})


class Constraint:
    """One constraint of a pod."""

    __slots__ = ("_honour_affinity", "_honour_taints", "_known", "_pod", "key", "least", "selector", "skew")

    def __init__(self, spec: Mapping[str, Any], pod: PodInfo, selector: LabelSelector | None = None) -> None:
        self._pod = pod
        self._known: dict[Kin, bool] = {}
        self.key: str = spec["topologyKey"]
        self.skew = int(spec["maxSkew"])
        self.least = int(spec.get("minDomains") or 1)
        if selector is None:
            own = from_object(spec.get("labelSelector"))
            selector = with_keys(own, pod.labels, spec.get("matchLabelKeys") or ())
        self.selector = selector
        honour = (spec.get("nodeAffinityPolicy") or "Honor") == "Honor"
        self._honour_affinity = honour and wants_nodes(pod.obj["spec"])
        self._honour_taints = spec.get("nodeTaintsPolicy") == "Honor"

    def regards(self, node: NodeInfo) -> bool:
        """Whether the node's pods count."""
        spec = self._pod.obj["spec"]
        if self._honour_affinity and not is_selected(spec, node.labels, node.name):
            return False
        tolerations = spec.get("tolerations") or ()
        return not self._honour_taints or not first_untolerated(node.spec.get("taints") or (), tolerations)

    def count(self, node: NodeInfo) -> int:
        """The pods on the node that the constraint speaks of. One without a selector speaks of none."""
        if not self.selector:
            return 0
        found = 0
        for kin, count in node.kin.items():
            if self._speaks_of(kin):
                found += count
        if found and node.ending:
            found -= sum(1 for pod in node.ending.values() if self._speaks_of(pod.kin))
        return found

    def _speaks_of(self, kin: Kin) -> bool:
        known = self._known.get(kin)
        if known is None:
            same = kin.namespace == self._pod.namespace
            known = self._known[kin] = same and self.selector.matches(kin.labels)
        return known


def constraints(pod: PodInfo, action: str) -> list[Constraint]:
    """The pod's own constraints that are strict (`DoNotSchedule`) or that only order nodes."""
    return [
        Constraint(spec, pod)
        for spec in pod.obj["spec"].get("topologySpreadConstraints") or ()
        if (spec.get("whenUnsatisfiable") or "DoNotSchedule") == action
    ]


class PodTopologySpread:
    """The strict constraints, with the pods counted by domain."""

    name = NAME

    def __init__(self, pod: PodInfo, strict: Sequence[Constraint]) -> None:
        self._pod = pod
        self._strict = strict
        self._counts: list[dict[str, int]] = [{} for _ in strict]

    def look(self, nodes: Iterable[NodeInfo]) -> None:
        """Count what is on the nodes."""
        for node in nodes:
            if not has_keys(node, self._strict):
                continue
            for constraint, counts in zip(self._strict, self._counts, strict=True):
                if constraint.regards(node):
                    domain = node.labels[constraint.key]
                    counts[domain] = counts.get(domain, 0) + constraint.count(node)

    def refuse(self, node: NodeInfo) -> Refusal | None:
        """Why not."""
        for constraint, counts in zip(self._strict, self._counts, strict=True):
            domain = node.labels.get(constraint.key)
            if domain is None:
                return NO_LABEL
            least = min(counts.values(), default=math.inf) if len(counts) >= constraint.least else 0
            own = int(constraint.selector.matches(self._pod.labels))
            if counts.get(domain, 0) + own - least > constraint.skew:
                return SKEW
        return None

    def moved(self, pod: PodInfo, node: NodeInfo, sign: int) -> None:
        """Count another pod in, or out."""
        if pod.namespace != self._pod.namespace or not has_keys(node, self._strict):
            return
        for constraint, counts in zip(self._strict, self._counts, strict=True):
            if constraint.selector.matches(pod.labels) and constraint.regards(node):
                domain = node.labels[constraint.key]
                counts[domain] = counts.get(domain, 0) + sign

    def copy(self) -> PodTopologySpread:
        """One with which suppositions can be tried."""
        twin = PodTopologySpread(self._pod, self._strict)
        twin._counts = [dict(counts) for counts in self._counts]
        return twin


def has_keys(node: NodeInfo, wanted: Iterable[Constraint]) -> bool:
    """Whether the node has a label for every constraint."""
    return all(constraint.key in node.labels for constraint in wanted)


def scores(
    loose: Sequence[Constraint], candidates: Sequence[NodeInfo], nodes: Sequence[NodeInfo], *, strictly: bool
) -> list[int]:
    """How evenly the pods would be spread with the pod on each candidate, 0 to 100.

    With `strictly` (constraints of the pod's own) nodes without a label of them are worth nothing.
    """
    ignored = {node.name for node in candidates if strictly and not has_keys(node, loose)}
    regarded = [node for node in candidates if node.name not in ignored]
    raw = dict.fromkeys((node.name for node in regarded), 0.0)
    for constraint in loose:
        domains = {node.labels.get(constraint.key, "") for node in regarded}
        counts = _counts(constraint, loose, domains, nodes, strictly=strictly)
        size = len(regarded) if constraint.key == HOSTNAME else len(domains)
        weight = math.log(size + 2)
        for node in regarded:
            domain = node.labels.get(constraint.key)
            if domain is not None:
                count = constraint.count(node) if constraint.key == HOSTNAME else counts[domain]
                raw[node.name] += count * weight + (constraint.skew - 1)
    rounded = {name: _round(value) for name, value in raw.items()}
    return _normal(rounded, candidates)


def _counts(
    constraint: Constraint,
    loose: Sequence[Constraint],
    domains: set[str],
    nodes: Iterable[NodeInfo],
    *,
    strictly: bool,
) -> dict[str, int]:
    counts = dict.fromkeys(domains, 0)
    if constraint.key == HOSTNAME:
        return counts
    for node in nodes:
        domain = node.labels.get(constraint.key, "")
        if domain in counts and constraint.regards(node) and not (strictly and not has_keys(node, loose)):
            counts[domain] += constraint.count(node)
    return counts


def _round(value: float) -> int:
    """Halves away from zero."""
    return math.floor(value + 0.5)


def _normal(raw: Mapping[str, int], candidates: Sequence[NodeInfo]) -> list[int]:
    low, high = min(raw.values(), default=0), max(raw.values(), default=0)
    if not high:
        return [100 if node.name in raw else 0 for node in candidates]
    return [100 * (high + low - raw[node.name]) // high if node.name in raw else 0 for node in candidates]
