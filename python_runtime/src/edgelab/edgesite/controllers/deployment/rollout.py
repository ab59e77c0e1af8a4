"""How many pods the old and the new ReplicaSets may have now. Numbers only, no I/O.

Facts: pkg/controller/deployment/{rolling,sync}.go, util/deployment_util.go.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgelab.kube.interface import Obj


@dataclass(frozen=True, slots=True)
class Limits:
    """The Deployment's numbers: `maximum` is desired plus surge."""

    desired: int
    surge: int
    unavailable: int
    rolling: bool

    @property
    def maximum(self) -> int:
        """The most pods at one time."""
        return self.desired + self.surge

    @property
    def minimum_available(self) -> int:
        """The fewest pods that must be available."""
        return max(0, self.desired - self.unavailable)


def limits(deployment: Obj) -> Limits:
    """Read replicas, maxSurge (rounded up) and maxUnavailable (rounded down) of a Deployment."""
    spec = deployment["spec"]
    desired = int(spec.get("replicas", 1))
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return Limits(desired, 0, 0, rolling=False)
    rolling = strategy.get("rollingUpdate") or {}
    surge = portion(rolling.get("maxSurge", "25%"), desired, up=True)
    unavailable = portion(rolling.get("maxUnavailable", "25%"), desired, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Limits(desired, surge, min(unavailable, desired), rolling=True)


def portion(value: int | str, total: int, *, up: bool) -> int:
    """`25%` of the total, or the number itself."""
    if not isinstance(value, str):
        return int(value)
    if not value.endswith("%"):
        return int(value)
    share = int(value[:-1]) * total / 100
    return math.ceil(share) if up else math.floor(share)


def size(replica_set: Obj) -> int:
    """`spec.replicas`."""
    return int(replica_set["spec"].get("replicas", 1))


def count(replica_sets: Sequence[Obj], field: str) -> int:
    """A number of the status, over all."""
    return sum(int((rs.get("status") or {}).get(field, 0)) for rs in replica_sets)


def new_size(limit: Limits, new: Obj, total: int) -> int:
    """The size for the new ReplicaSet, given the sum of all sizes (`NewRSNewReplicas`)."""
    current = size(new)
    if current >= limit.desired or not limit.rolling:
        return limit.desired
    room = limit.maximum - total
    return current + max(0, min(room, limit.desired - current))


def old_sizes(limit: Limits, new: Obj, old: Sequence[Obj]) -> dict[str, int]:
    """New sizes, by name, of the old ReplicaSets (oldest first) that may shrink now.

    Pods that are not available go first, since giving them up costs nothing; then as many available
    ones as the minimum allows.
    """
    everything = [*old, new]
    total = sum(size(rs) for rs in everything)
    new_unavailable = max(0, size(new) - count([new], "availableReplicas"))
    budget = total - limit.minimum_available - new_unavailable
    sizes = {rs["metadata"]["name"]: size(rs) for rs in old}
    changed: dict[str, int] = {}
    if budget <= 0:
        return changed
    for rs in old:
        name = rs["metadata"]["name"]
        unhealthy = max(0, sizes[name] - count([rs], "availableReplicas"))
        give = min(budget, unhealthy)
        if give > 0:
            sizes[name] -= give
            budget -= give
            changed[name] = sizes[name]
    spare = count(everything, "availableReplicas") - limit.minimum_available
    for rs in old:
        name = rs["metadata"]["name"]
        give = min(spare, sizes[name])
        if give > 0:
            sizes[name] -= give
            spare -= give
            changed[name] = sizes[name]
    return changed


def proportional(limit: Limits, active: Sequence[Obj], maxima: dict[str, int]) -> dict[str, int]:
    """Sizes after the Deployment was resized in the middle of a rollout.

    Each active ReplicaSet (biggest first) gets its share of what is added or taken; `maxima` are the
    sizes that the Deployment could have when each was last written. The biggest takes the rest.
    """
    allowed = limit.maximum if limit.desired else 0
    difference = allowed - sum(size(rs) for rs in active)
    ordered = sorted(active, key=lambda rs: (-size(rs), rs["metadata"].get("creationTimestamp", "")))
    sizes: dict[str, int] = {}
    left = difference
    for rs in ordered:
        name = rs["metadata"]["name"]
        share = round(size(rs) * allowed / maxima[name]) - size(rs) if maxima.get(name) else 0
        share = max(min(share, left), 0) if difference > 0 else min(max(share, left), 0)
        sizes[name] = size(rs) + share
        left -= share
    if ordered and left:
        biggest = ordered[0]["metadata"]["name"]
        sizes[biggest] = max(0, sizes[biggest] + left)
    return sizes


def count_available(replica_set: Obj) -> int:
    """Available pods of a saturated ReplicaSet; -1 when its size has not been reached."""
    available = count([replica_set], "availableReplicas")
    return available if available >= size(replica_set) else -1
