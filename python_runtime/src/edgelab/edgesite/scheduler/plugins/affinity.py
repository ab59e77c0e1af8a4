"""Pods that want to be near others or away from them; those that are placed already have a say. No I/O.

Facts: pkg/scheduler/framework/plugins/interpodaffinity. Matching pods are counted once for each
decision, by the value that nodes have for a term's topology key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from edgelab.edgesite.scheduler.nodeinfo import NodeInfo
from edgelab.edgesite.scheduler.podinfo import PodInfo
from edgelab.edgesite.scheduler.terms import Kin, NamespaceLabels, Term, Terms
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
        self._known: dict[tuple[Term, Kin], bool] = {}
        """What is known of who speaks of whom: nodes with the same pods are many."""

    def look(self, nodes: Iterable[NodeInfo]) -> None:
        """Count what is on the nodes."""
        asks = bool(self._pod.terms.affinity or self._pod.terms.apart)
        for node in nodes:
            for terms, count in node.apart.items():
                self._guarded(terms, node, count)
            if asks:
                for kin, count in node.kin.items():
                    self._asked(kin, node, count)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to check."""
        return not (self._pod.terms.affinity or self._pod.terms.apart or self._others)

    def refuse(self, node: NodeInfo) -> Refusal | None:
        """Why not."""
        if not self._is_near(node.labels):
            return AFFINITY
        if any(self._apart[pair] > 0 for pair in _pairs(self._pod.terms.apart, node.labels)):
            return ANTI_AFFINITY
        if self._others and any(self._others[pair] > 0 for pair in node.labels.items()):
            return OTHERS
        return None

    def moved(self, pod: PodInfo, node: NodeInfo, sign: int) -> None:
        """Count another pod in, or out."""
        self._guarded(pod.terms, node, sign)
        self._asked(pod.kin, node, sign)

    def copy(self) -> InterPodAffinity:
        """One with which suppositions can be tried."""
        twin = InterPodAffinity(self._pod, self._spaces)
        twin._known = self._known
        twin._near, twin._apart, twin._others = self._near.copy(), self._apart.copy(), self._others.copy()
        return twin

    def _guarded(self, terms: Terms, node: NodeInfo, count: int) -> None:
        """Pods with these terms keep others away."""
        for term in terms.apart:
            if term.key in node.labels and self._speaks_of(term, self._pod.kin):
                _add(self._others, (term.key, node.labels[term.key]), count)

    def _asked(self, kin: Kin, node: NodeInfo, count: int) -> None:
        """The pod may want to be near pods like these, or away from them."""
        terms = self._pod.terms
        if terms.affinity and self._speak_of_all(terms.affinity, kin):
            for pair in _pairs(terms.affinity, node.labels):
                _add(self._near, pair, count)
        for term in terms.apart:
            if term.key in node.labels and self._speaks_of(term, kin):
                _add(self._apart, (term.key, node.labels[term.key]), count)

    def _is_near(self, present: Mapping[str, str]) -> bool:
        terms = self._pod.terms.affinity
        if any(term.key not in present for term in terms):
            return False
        if all(self._near[pair] > 0 for pair in _pairs(terms, present)):
            return True
        # The first of a group that wants to be together: nobody is there yet, and it means itself.
        return not self._near and self._speak_of_all(terms, self._pod.kin)

    def _speaks_of(self, term: Term, kin: Kin) -> bool:
        found = self._known.get((term, kin))
        if found is None:
            found = self._known[term, kin] = term.matches(kin, self._spaces)
        return found

    def _speak_of_all(self, terms: Sequence[Term], kin: Kin) -> bool:
        return all(self._speaks_of(term, kin) for term in terms)


def wishes(pod: PodInfo, nodes: Iterable[NodeInfo], spaces: NamespaceLabels) -> dict[Pair, int] | None:
    """What the preferences of the pod and of those that are placed add up to; None when nobody has any."""
    found: dict[Pair, int] = {}
    theirs: dict[Terms, list[tuple[str, int]]] = {}
    mine: dict[Kin, list[tuple[str, int]]] = {}
    for node in nodes:
        weights: list[tuple[str, int]] = []
        for terms, count in node.terms.items():
            if terms not in theirs:
                theirs[terms] = list(_their_weights(terms, pod.kin, spaces))
            weights += [(key, weight * count) for key, weight in theirs[terms]]
        for kin, count in node.kin.items() if pod.terms.wishes else ():
            if kin not in mine:
                mine[kin] = [(term.key, w) for w, term in pod.terms.wishes if term.matches(kin, spaces)]
            weights += [(key, weight * count) for key, weight in mine[kin]]
        for key, weight in weights:
            value = node.labels.get(key)
            if value is not None:
                found[key, value] = found.get((key, value), 0) + weight
    return found or None


def _their_weights(terms: Terms, kin: Kin, spaces: NamespaceLabels) -> Iterator[tuple[str, int]]:
    for term in terms.affinity:
        if term.matches(kin, spaces):
            yield term.key, HARD_WEIGHT
    for weight, term in terms.wishes:
        if term.matches(kin, spaces):
            yield term.key, weight


def _pairs(terms: Iterable[Term], present: Mapping[str, str]) -> list[Pair]:
    return [(term.key, present[term.key]) for term in terms if term.key in present]


def _add(counts: Counter[Pair], pair: Pair, sign: int) -> None:
    counts[pair] += sign
    if not counts[pair]:
        del counts[pair]
