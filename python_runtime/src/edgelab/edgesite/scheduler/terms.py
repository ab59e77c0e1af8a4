"""Selectors of pods as pods carry them: affinity terms, and label selectors with keys of the pod. No I/O.

Facts: pkg/scheduler/framework/types.go (`AffinityTerm`), and for `matchLabelKeys` and
`mismatchLabelKeys` pkg/registry/core/pod (`applyMatchLabelKeysAndMismatchLabelKeys`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from edgelab.kube.interface import Obj
from edgelab.objects.metadata import labels
from edgelab.objects.selectors import LabelSelector, Requirement, from_object

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
REMEMBERED = 2048
"""So many different sets of labels, or of terms, are shared; what is forgotten is only read again."""

NamespaceLabels = Callable[[str], Mapping[str, str]]


class Kin:
    """What selectors see of a pod. Replicas share one: whatever holds for one holds for all."""

    __slots__ = ("labels", "namespace")

    def __init__(self, namespace: str, pod_labels: Mapping[str, str]) -> None:
        self.namespace = namespace
        self.labels = pod_labels


def kin_of(pod: Obj) -> Kin:
    """The pod's namespace and labels."""
    return _kin(pod["metadata"]["namespace"], tuple(sorted(labels(pod).items())))


@lru_cache(maxsize=REMEMBERED)
def _kin(namespace: str, pairs: tuple[tuple[str, str], ...]) -> Kin:
    return Kin(namespace, dict(pairs))


class Term:
    """A pod affinity term: which pods, and what counts as near."""

    __slots__ = ("_names", "_selector", "_where", "key")

    def __init__(self, term: Mapping[str, Any], owner: Kin) -> None:
        self.key: str = term["topologyKey"]
        same, other = term.get("matchLabelKeys") or (), term.get("mismatchLabelKeys") or ()
        self._selector = with_keys(from_object(term.get("labelSelector")), owner.labels, same, other)
        self._names = frozenset(term.get("namespaces") or ())
        self._where = from_object(term.get("namespaceSelector"))
        if not self._names and term.get("namespaceSelector") is None:
            self._names = frozenset({owner.namespace})

    def matches(self, kin: Kin, spaces: NamespaceLabels) -> bool:
        """Whether the term speaks of such pods."""
        if not self._selector.matches(kin.labels):
            return False
        if kin.namespace in self._names:
            return True
        return not self._where.nothing and self._where.matches(spaces(kin.namespace))


class Terms:
    """All terms of a pod: the strict ones, and wishes with their weights (to be apart: below nothing)."""

    __slots__ = ("affinity", "apart", "wishes")

    def __init__(self, affinity: Mapping[str, Any], owner: Kin) -> None:
        near, apart = affinity.get("podAffinity"), affinity.get("podAntiAffinity")
        self.affinity = _required(near, owner)
        self.apart = _required(apart, owner)
        self.wishes = (*_preferred(near, owner, 1), *_preferred(apart, owner, -1))

    def __bool__(self) -> bool:
        return bool(self.affinity or self.apart or self.wishes)


def _required(affinity: Mapping[str, Any] | None, owner: Kin) -> tuple[Term, ...]:
    return tuple(Term(term, owner) for term in (affinity or {}).get(REQUIRED) or ())


def _preferred(affinity: Mapping[str, Any] | None, owner: Kin, sign: int) -> Iterator[tuple[int, Term]]:
    for wish in (affinity or {}).get(PREFERRED) or ():
        yield sign * int(wish["weight"]), Term(wish["podAffinityTerm"], owner)


NO_TERMS = Terms({}, Kin("", {}))


def terms_of(pod: Obj, kin: Kin) -> Terms:
    """The terms of a pod; replicas share theirs."""
    affinity = pod["spec"].get("affinity")
    return _terms(msgspec.json.encode(affinity), kin) if affinity else NO_TERMS


@lru_cache(maxsize=REMEMBERED)
def _terms(affinity: bytes, kin: Kin) -> Terms:
    return Terms(msgspec.json.decode(affinity), kin)


def with_keys(
    selector: LabelSelector, present: Mapping[str, str], same: Iterable[str], other: Iterable[str] = ()
) -> LabelSelector:
    """The selector narrowed to pods that agree with (or differ from) `present` in some labels."""
    more = [Requirement(key, "in", frozenset({present[key]})) for key in same if key in present]
    more += [Requirement(key, "notin", frozenset({present[key]})) for key in other if key in present]
    return LabelSelector((*selector.requirements, *more), selector.nothing) if more else selector
