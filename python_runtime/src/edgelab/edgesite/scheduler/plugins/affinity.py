"""Pods that want to be near others or away from them; those that are placed already have a say. No I/O.

Facts: pkg/scheduler/framework/plugins/interpodaffinity. Matching pods are counted once for each
decision, by the value that nodes have for a term's topology key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from edgelab.edgesite.scheduler.nodeinfo import NodeInfo
from edgelab.edgesite.scheduler.podinfo import PodInfo
from edgelab.edgesite.scheduler.terms import NamespaceLabels, Term
from edgelab.edgesite.scheduler.verdict import Refusal

NAME = "InterPodAffinity"
AFFINITY = Refusal(NAME, ("node(s) didn't match pod affinity rules",))
ANTI_AFFINITY = Refusal(NAME, ("node(s) didn't match pod anti-affinity rules",), preemptible=True)
OTHERS = Refusal(NAME, ("node(s) didn't satisfy existing pods anti-affinity rules",), preemptible=True)

HARD_WEIGHT = 1
"""What a pod's required affinity to the newcomer is worth (`hardPodAffinityWeight`)."""

Pair = tuple[str, str]
"""A topology key and its value."""


class InterPodAffinity:
    """The strict terms of the pod, and the strict anti-affinity of the others."""

    name = NAME

    def __init__(self, pod: PodInfo, spaces: NamespaceLabels) -> None:
        self._pod = pod
        self._spaces = spaces
        self._near: Counter[Pair] = Counter()
        self._apart: Counter[Pair] = Counter()
        self._others: Counter[Pair] = Counter()

    def look(self, nodes: Iterable[NodeInfo]) -> None:
        """Count what is on the nodes."""
        asks = bool(self._pod.affinity or self._pod.apart)
        for node in nodes:
            for other in (node.pods if asks else node.apart).values():
                self.moved(other, node, 1)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to check."""
        return not (self._pod.affinity or self._pod.apart or self._others)

    def refuse(self, node: NodeInfo) -> Refusal | None:
        """Why not."""
        if not self._is_near(node.labels):
            return AFFINITY
        if any(self._apart[pair] > 0 for pair in _pairs(self._pod.apart, node.labels)):
            return ANTI_AFFINITY
        if self._others and any(self._others[pair] > 0 for pair in node.labels.items()):
            return OTHERS
        return None

    def moved(self, pod: PodInfo, node: NodeInfo, sign: int) -> None:
        """Count another pod in, or out."""
        for term in pod.apart:
            if term.key in node.labels and self._speaks_of(term, self._pod):
                _add(self._others, (term.key, node.labels[term.key]), sign)
        if self._pod.affinity and self._speak_of_all(self._pod.affinity, pod):
            for pair in _pairs(self._pod.affinity, node.labels):
                _add(self._near, pair, sign)
        for term in self._pod.apart:
            if term.key in node.labels and self._speaks_of(term, pod):
                _add(self._apart, (term.key, node.labels[term.key]), sign)

    def copy(self) -> InterPodAffinity:
        """One with which suppositions can be tried."""
        twin = InterPodAffinity(self._pod, self._spaces)
        twin._near, twin._apart, twin._others = self._near.copy(), self._apart.copy(), self._others.copy()
        return twin

    def _is_near(self, present: Mapping[str, str]) -> bool:
        terms = self._pod.affinity
        if any(term.key not in present for term in terms):
            return False
        if all(self._near[pair] > 0 for pair in _pairs(terms, present)):
            return True
        # The first of a group that wants to be together: nobody is there yet, and it means itself.
        return not self._near and self._speak_of_all(terms, self._pod)

    def _speaks_of(self, term: Term, pod: PodInfo) -> bool:
        return term.matches(pod.namespace, pod.labels, self._spaces)

    def _speak_of_all(self, terms: Sequence[Term], pod: PodInfo) -> bool:
        return all(self._speaks_of(term, pod) for term in terms)


def wishes(pod: PodInfo, nodes: Iterable[NodeInfo], spaces: NamespaceLabels) -> dict[Pair, int] | None:
    """What the preferences of the pod and of those that are placed add up to; None when nobody has any."""
    found: dict[Pair, int] = {}
    for node in nodes:
        if not node.labels:
            continue
        for other in (node.pods if pod.wishes else node.caring).values():
            for key, weight in _weights(pod, other, spaces):
                value = node.labels.get(key)
                if value is not None:
                    found[key, value] = found.get((key, value), 0) + weight
    return found or None


def _weights(pod: PodInfo, other: PodInfo, spaces: NamespaceLabels) -> Iterable[tuple[str, int]]:
    for weight, term in pod.wishes:
        if term.matches(other.namespace, other.labels, spaces):
            yield term.key, weight
    for term in other.affinity:
        if term.matches(pod.namespace, pod.labels, spaces):
            yield term.key, HARD_WEIGHT
    for weight, term in other.wishes:
        if term.matches(pod.namespace, pod.labels, spaces):
            yield term.key, weight


def _pairs(terms: Iterable[Term], present: Mapping[str, str]) -> list[Pair]:
    return [(term.key, present[term.key]) for term in terms if term.key in present]


def _add(counts: Counter[Pair], pair: Pair, sign: int) -> None:
    counts[pair] += sign
    if not counts[pair]:
        del counts[pair]
