"""Pods that want to be near others, away from them, or spread evenly. No I/O.

Facts: pkg/scheduler/framework/plugins/{interpodaffinity,podtopologyspread}. Looked at once for each
pod that is scheduled: pods that match are counted by the value that nodes have for a topology key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from edgelab.edgesite.scheduler.demand import Load
from edgelab.edgesite.scheduler.filters import Refusal
from edgelab.edgesite.scheduler.nodes import matches_node
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import is_deleting, labels
from edgelab.objects.selectors import LabelSelector, Requirement, from_object

NamespaceLabels = Callable[[str], Mapping[str, str]]

AFFINITY = Refusal(("node(s) didn't match pod affinity rules",))
ANTI_AFFINITY = Refusal(("node(s) didn't match pod anti-affinity rules",), preemptible=True)
OTHERS = Refusal(("node(s) didn't satisfy existing pods anti-affinity rules",), preemptible=True)
SPREAD = Refusal(("node(s) didn't match pod topology spread constraints",), preemptible=True)
NO_LABEL = Refusal(("node(s) didn't match pod topology spread constraints (missing required label)",))
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


class Place(NamedTuple):
    """A node and what is on it."""

    node: Obj
    load: Load


class Term:
    """A pod affinity term: which pods, and what counts as near."""

    def __init__(self, term: Mapping[str, Any], owner: Obj, namespace_labels: NamespaceLabels) -> None:
        self.key: str = term["topologyKey"]
        self._selector = from_object(term.get("labelSelector"))
        self._names = set(term.get("namespaces") or ())
        self._where = from_object(term.get("namespaceSelector"))
        if not self._names and term.get("namespaceSelector") is None:
            self._names = {owner["metadata"]["namespace"]}
        self._namespace_labels = namespace_labels

    def matches(self, pod: Obj) -> bool:
        """Whether the term speaks of this pod."""
        if not self._selector.matches(labels(pod)):
            return False
        namespace = pod["metadata"]["namespace"]
        return namespace in self._names or self._where.matches(self._namespace_labels(namespace))


class Constraint:
    """A topology spread constraint, with the pods counted by domain."""

    def __init__(self, spec: Mapping[str, Any], pod: Obj, places: Sequence[Place]) -> None:
        self.key: str = spec["topologyKey"]
        self._skew = int(spec["maxSkew"])
        self._minimum = int(spec.get("minDomains") or 1)
        selector = _with_keys(from_object(spec.get("labelSelector")), spec.get("matchLabelKeys") or (), pod)
        self._own = int(selector.matches(labels(pod)))
        self.counts: Counter[str] = Counter()
        honour = spec.get("nodeAffinityPolicy", "Honor") == "Honor"
        for node, load in places:
            domain = labels(node).get(self.key)
            if domain is None or (honour and not matches_node(pod, node)):
                continue
            here = (other for other in load.members.values() if _counts(other, pod, selector))
            self.counts[domain] += sum(1 for _ in here)

    def refusal(self, node: Obj) -> Refusal | None:
        """Why the pod must not be here, if the constraint is a strict one."""
        domain = labels(node).get(self.key)
        if domain is None:
            return NO_LABEL
        least = min(self.counts.values(), default=0) if len(self.counts) >= self._minimum else 0
        return SPREAD if self.counts[domain] + self._own - least > self._skew else None


def _with_keys(selector: LabelSelector, keys: Sequence[str], pod: Obj) -> LabelSelector:
    present = labels(pod)
    more = [Requirement(key, "in", frozenset({present[key]})) for key in keys if key in present]
    return LabelSelector((*selector.requirements, *more), selector.nothing)


def _counts(other: Obj, pod: Obj, selector: LabelSelector) -> bool:
    same = other["metadata"]["namespace"] == pod["metadata"]["namespace"]
    return same and not is_deleting(other) and selector.matches(labels(other))


class Neighbours:
    """What the pods that are placed already mean for the one that is to be placed."""

    def __init__(self, pod: Obj, places: Sequence[Place], namespace_labels: NamespaceLabels) -> None:

        def terms(kind: str, owner: Obj = pod) -> list[Term]:
            return [Term(term, owner, namespace_labels) for term in _required(owner, kind)]

        self._near = [(term, _domains(term, places)) for term in terms("podAffinity")]
        self._apart = [(term, _domains(term, places)) for term in terms("podAntiAffinity")]
        # The first of a group that wants to be together: nobody is there yet, and it means itself.
        nobody = not any(domains for _, domains in self._near)
        self._first = nobody and all(term.matches(pod) for term, _ in self._near)
        self._forbidden = {
            (term.key, labels(node).get(term.key, ""))
            for node, load in places
            for other in load.guarded.values()
            for term in terms("podAntiAffinity", other)
            if term.key in labels(node) and term.matches(pod)
        }
        constraints = pod["spec"].get("topologySpreadConstraints") or ()
        self._strict = [
            Constraint(spec, pod, places)
            for spec in constraints
            if spec.get("whenUnsatisfiable", "DoNotSchedule") == "DoNotSchedule"
        ]
        self._loose = [
            Constraint(spec, pod, places)
            for spec in constraints
            if spec.get("whenUnsatisfiable") == "ScheduleAnyway"
        ]
        self._wishes = [
            (weight, term, _domains(term, places)) for weight, term in _preferred(pod, namespace_labels)
        ]

    def refusal(self, node: Obj) -> Refusal | None:
        """The first rule that refuses the node."""
        for constraint in self._strict:
            if (refused := constraint.refusal(node)) is not None:
                return refused
        present = labels(node)
        for term, domains in self._near:
            if term.key not in present or (not domains[present[term.key]] and not self._first):
                return AFFINITY
        for term, domains in self._apart:
            if term.key in present and domains[present[term.key]]:
                return ANTI_AFFINITY
        if any(present.get(key) == value for key, value in self._forbidden):
            return OTHERS
        return None

    def wish(self, node: Obj) -> float:
        """How much the preferred terms and loose constraints like the node; any scale."""
        present = labels(node)
        liked = sum(weight * domains[present.get(term.key, "")] for weight, term, domains in self._wishes)
        crowd = sum(c.counts[present.get(c.key, "")] for c in self._loose)
        return float(liked - 100 * crowd)


def _domains(term: Term, places: Sequence[Place]) -> Counter[str]:
    """Matching pods by the nodes' values of the term's topology key."""
    found: Counter[str] = Counter()
    for node, load in places:
        domain = labels(node).get(term.key)
        if domain is not None:
            found[domain] += sum(1 for other in load.members.values() if term.matches(other))
    return +found


def _required(pod: Obj, kind: str) -> Sequence[Mapping[str, Any]]:
    affinity = (pod["spec"].get("affinity") or {}).get(kind) or {}
    return affinity.get(REQUIRED) or ()


def _preferred(pod: Obj, namespace_labels: NamespaceLabels) -> Iterator[tuple[int, Term]]:
    for kind, sign in (("podAffinity", 1), ("podAntiAffinity", -1)):
        affinity = (pod["spec"].get("affinity") or {}).get(kind) or {}
        for entry in affinity.get(PREFERRED) or ():
            yield sign * int(entry["weight"]), Term(entry["podAffinityTerm"], pod, namespace_labels)


def guards_itself(pod: Obj) -> bool:
    """Whether the pod keeps others away once it is placed."""
    return bool(_required(pod, "podAntiAffinity"))


def cares(pod: Obj) -> bool:
    """Whether pods that arrive or change can make room for this one."""
    affinity = pod["spec"].get("affinity") or {}
    near = affinity.get("podAffinity") or affinity.get("podAntiAffinity")
    return bool(near or pod["spec"].get("topologySpreadConstraints"))
