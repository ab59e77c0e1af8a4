"""What pods ask of a node, and what a node has left. No I/O.

Facts: k8s.io/component-helpers/resource (`PodRequests`), pkg/scheduler/framework/types.go. CPU is in
thousandths of a core, everything else in base units.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from edgelab.kube.interface import Obj
from edgelab.objects import quantity

DEFAULT_MILLI_CPU, DEFAULT_MEMORY = 100, 200 << 20
"""What a pod without requests counts for when nodes are compared (not when they are filtered)."""


class Port(NamedTuple):
    """A port of the host that a container wants."""

    address: str
    protocol: str
    number: int

    def conflicts(self, other: Port) -> bool:
        """Whether both cannot be bound; the wildcard address meets every address."""
        same = self.protocol == other.protocol and self.number == other.number
        return same and (self.address == other.address or "0.0.0.0" in (self.address, other.address))  # noqa: S104 - compared, not bound


@dataclass(frozen=True, slots=True)
class Demand:
    """Requests by resource name, and host ports."""

    requests: Mapping[str, int]
    ports: frozenset[Port] = frozenset()


@dataclass(slots=True)
class Load:
    """What the pods on one node ask for together."""

    requests: Counter[str] = field(default_factory=Counter)
    ports: Counter[Port] = field(default_factory=Counter)
    pods: int = 0
    members: dict[str, Obj] = field(default_factory=dict)
    """The pods, by uid."""
    guarded: dict[str, Obj] = field(default_factory=dict)
    """Those of them that keep others away, by uid."""
    owners: Counter[str] = field(default_factory=Counter)
    """Pods by the uid of their controller."""

    def add(self, demand: Demand, owner: str, sign: int = 1) -> None:
        """Put a pod on the node, or with sign -1 take it away."""
        for name, amount in demand.requests.items():
            self.requests[name] += sign * amount
        for port in demand.ports:
            self.ports[port] += sign
        self.pods += sign
        self.owners[owner] += sign


@lru_cache(maxsize=4096)
def amount(name: str, value: str | int) -> int:
    """A quantity in the unit in which it is counted; what cannot be read counts nothing."""
    try:
        return quantity.milli(value) if name == "cpu" else quantity.whole(value)
    except ValueError:
        return 0


def demand(pod: Obj) -> Demand:
    """Sum of the containers, or the hungriest moment of the init containers if that is more; and overhead."""
    spec = pod["spec"]
    total: Counter[str] = Counter()
    for container in spec.get("containers") or ():
        total.update(_requests(container))
    peak, sidecars = Counter[str](), Counter[str]()
    for container in spec.get("initContainers") or ():
        asked = _requests(container)
        if container.get("restartPolicy") == "Always":
            sidecars.update(asked)
            total.update(asked)
            asked = Counter()
        for name, value in (sidecars + asked).items():
            peak[name] = max(peak[name], value)
    needed = {name: max(total[name], peak[name]) for name in {**total, **peak}}
    for name, value in (spec.get("overhead") or {}).items():
        needed[name] = needed.get(name, 0) + amount(name, value)
    return Demand({name: value for name, value in needed.items() if value}, _ports(spec))


def _requests(container: Obj) -> Counter[str]:
    resources = container.get("resources") or {}
    asked = {**(resources.get("limits") or {}), **(resources.get("requests") or {})}
    return Counter({name: amount(name, value) for name, value in asked.items()})


def _ports(spec: Obj) -> frozenset[Port]:
    return frozenset(
        Port(port.get("hostIP") or "0.0.0.0", port.get("protocol") or "TCP", int(port["hostPort"]))  # noqa: S104 - a pod's wish
        for container in spec.get("containers") or ()
        for port in container.get("ports") or ()
        if port.get("hostPort")
    )


def allocatable(node: Obj) -> dict[str, int]:
    """What a node offers to pods."""
    status = node.get("status") or {}
    offered = status.get("allocatable") or status.get("capacity") or {}
    return {name: amount(name, value) for name, value in offered.items()}
