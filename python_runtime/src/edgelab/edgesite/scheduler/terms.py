"""Selectors of pods as pods carry them: affinity terms, and label selectors with keys of the pod. No I/O.

Facts: pkg/scheduler/framework/types.go (`AffinityTerm`), and for `matchLabelKeys` and
`mismatchLabelKeys` pkg/registry/core/pod (`applyMatchLabelKeysAndMismatchLabelKeys`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from edgelab.kube.interface import Obj
from edgelab.objects.metadata import labels
from edgelab.objects.selectors import LabelSelector, Requirement, from_object

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"

NamespaceLabels = Callable[[str], Mapping[str, str]]


class Term:
    """A pod affinity term: which pods, and what counts as near."""

    __slots__ = ("_names", "_selector", "_where", "key")

    def __init__(self, term: Mapping[str, Any], owner: Obj) -> None:
        self.key: str = term["topologyKey"]
        same, other = term.get("matchLabelKeys") or (), term.get("mismatchLabelKeys") or ()
        self._selector = with_keys(from_object(term.get("labelSelector")), labels(owner), same, other)
        self._names = frozenset(term.get("namespaces") or ())
        self._where = from_object(term.get("namespaceSelector"))
        if not self._names and term.get("namespaceSelector") is None:
            self._names = frozenset({owner["metadata"]["namespace"]})

    def matches(self, namespace: str, pod_labels: Mapping[str, str], spaces: NamespaceLabels) -> bool:
        """Whether the term speaks of a pod."""
        if not self._selector.matches(pod_labels):
            return False
        return namespace in self._names or (
            not self._where.nothing and self._where.matches(spaces(namespace))
        )


def with_keys(
    selector: LabelSelector, present: Mapping[str, str], same: Iterable[str], other: Iterable[str] = ()
) -> LabelSelector:
    """The selector narrowed to pods that agree with (or differ from) `present` in some labels."""
    more = [Requirement(key, "in", frozenset({present[key]})) for key in same if key in present]
    more += [Requirement(key, "notin", frozenset({present[key]})) for key in other if key in present]
    return LabelSelector((*selector.requirements, *more), selector.nothing) if more else selector


def required(pod: Obj, kind: str) -> tuple[Term, ...]:
    """The pod's strict terms of a kind (`podAffinity`, `podAntiAffinity`)."""
    return tuple(Term(term, pod) for term in _affinity(pod, kind).get(REQUIRED) or ())


def preferred(pod: Obj) -> tuple[tuple[int, Term], ...]:
    """The pod's wishes with their weights; those to be apart weigh less than nothing."""
    return tuple(
        (sign * int(wish["weight"]), Term(wish["podAffinityTerm"], pod))
        for kind, sign in (("podAffinity", 1), ("podAntiAffinity", -1))
        for wish in _affinity(pod, kind).get(PREFERRED) or ()
    )


def _affinity(pod: Obj, kind: str) -> Mapping[str, Any]:
    return (pod["spec"].get("affinity") or {}).get(kind) or {}
