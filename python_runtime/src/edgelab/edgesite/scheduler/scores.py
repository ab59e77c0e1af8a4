"""Which of the fitting nodes is best. No I/O; every score is between 0 and 100.

A choice of kube-scheduler's default plugins with their weights: preferred node affinity 2, taints
with PreferNoSchedule 3, replicas of the same controller apart 2, wishes about neighbours 2, least
allocated 1, balance 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edgelab.edgesite.scheduler.demand import DEFAULT_MEMORY, DEFAULT_MILLI_CPU, Demand, Load, allocatable
from edgelab.edgesite.scheduler.nodes import preference, untolerated
from edgelab.kube.interface import Obj

MOST = 100.0


class Candidate(NamedTuple):
    """A node that passed the filters."""

    node: Obj
    load: Load
    wish: float = 0.0
    """What neighbours make of it, on a scale of their own."""


def best(pod: Obj, asked: Demand, owner: str, candidates: Sequence[Candidate]) -> Obj:
    """The node with the highest score; among equals the one with the fewest pods, then by name."""
    preferred = _normal([float(preference(pod, c.node)) for c in candidates])
    tainted = _inverse([float(len(untolerated(pod, c.node, ("PreferNoSchedule",)))) for c in candidates])
    crowded = _inverse([float(c.load.owners[owner]) if owner else 0.0 for c in candidates])
    wished = _spread([candidate.wish for candidate in candidates])
    scores = [
        2 * preferred[i] + 3 * tainted[i] + 2 * crowded[i] + 2 * wished[i] + resources(asked, candidate)
        for i, candidate in enumerate(candidates)
    ]
    ranked = sorted(
        range(len(candidates)),
        key=lambda i: (-scores[i], candidates[i].load.pods, candidates[i].node["metadata"]["name"]),
    )
    return candidates[ranked[0]].node


def resources(asked: Demand, candidate: Candidate) -> float:
    """Least allocated plus balanced allocation of CPU and memory."""
    offered, load = allocatable(candidate.node), candidate.load.requests
    used = []
    for name, default in (("cpu", DEFAULT_MILLI_CPU), ("memory", DEFAULT_MEMORY)):
        total = offered.get(name, 0)
        wanted = load[name] + (asked.requests.get(name) or default)
        used.append(min(1.0, wanted / total) if total else 1.0)
    least = MOST * (2 - sum(used)) / 2
    balance = MOST * (1 - abs(used[0] - used[1]) / 2)
    return least + balance


def _normal(values: list[float]) -> list[float]:
    top = max(values)
    return [MOST * value / top for value in values] if top else values


def _spread(values: list[float]) -> list[float]:
    low, high = min(values), max(values)
    return [MOST * (value - low) / (high - low) if high > low else 0.0 for value in values]


def _inverse(values: list[float]) -> list[float]:
    top = max(values)
    return [MOST - MOST * value / top if top else MOST for value in values]
