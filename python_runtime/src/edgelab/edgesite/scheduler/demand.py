"""What pods ask of a node. No I/O.

Facts: k8s.io/component-helpers/resource (`PodRequests`), pkg/scheduler/framework/types.go
(`CalculateResource`, `HostPortInfo`). CPU is in thousandths of a core, everything else in base units.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from edgelab.kube.interface import Obj
from edgelab.objects import quantity
from edgelab.objects.metadata import condition

CPU, MEMORY, STORAGE, PODS = "cpu", "memory", "ephemeral-storage", "pods"
DEFAULTS = {CPU: 100, MEMORY: 200 << 20}
"""What a container without a request counts for when nodes are compared (not when they are filtered)."""
WILDCARD = "0.0.0.0"  # noqa: S104 - a pod's wish, compared and never bound


class Port(NamedTuple):
    """A port of the host that a container wants."""

    address: str
    protocol: str
    number: int

    def conflicts(self, other: Port) -> bool:
        """Whether both cannot be bound; the wildcard address meets every address."""
        same = self.protocol == other.protocol and self.number == other.number
        return same and (self.address == other.address or WILDCARD in (self.address, other.address))


class Demand(NamedTuple):
    """Requests by resource name, the same with the defaults of containers without any, and host ports."""

    requests: Mapping[str, int]
    cpu: int
    memory: int
    ports: frozenset[Port]


@lru_cache(maxsize=4096)
def amount(name: str, value: str | int) -> int:
    """A quantity in the unit in which it is counted; what cannot be read counts nothing."""
    try:
        return quantity.milli(value) if name == CPU else quantity.whole(value)
    except ValueError:
        return 0


def demand(pod: Obj, *, placed: bool = False) -> Demand:
    """What the pod asks for; with `placed` also what its node has granted it (in-place resize)."""
    statuses = _statuses(pod) if placed else {}
    requests = _requests(pod, statuses, {})
    counted = _requests(pod, statuses, _missing(pod, requests))
    asked = {name: value for name, value in requests.items() if value and _is_counted(name)}
    return Demand(asked, counted[CPU], counted[MEMORY], frozenset(_ports(pod["spec"])))


def _requests(pod: Obj, statuses: Mapping[str, Obj], missing: Mapping[str, int]) -> Counter[str]:
    """Sum of the containers, or the hungriest moment of the init containers if that is more; and overhead."""
    spec = pod["spec"]
    total: Counter[str] = Counter()
    for container in spec.get("containers") or ():
        total.update(_container(container, statuses, missing, pod))
    peak, sidecars = Counter[str](), Counter[str]()
    for container in spec.get("initContainers") or ():
        lasts = container.get("restartPolicy") == "Always"
        asked = _container(container, statuses if lasts else {}, missing, pod)
        if lasts:
            sidecars.update(asked)
            total.update(asked)
            asked = Counter()
        for name, value in (sidecars + asked).items():
            peak[name] = max(peak[name], value)
    needed = Counter({name: max(total[name], peak[name]) for name in {**total, **peak}})
    for name, value in _pod_level(spec).items():
        needed[name] = value
    for name, value in (spec.get("overhead") or {}).items():
        needed[name] += amount(name, value)
    return needed


def _container(
    container: Obj, statuses: Mapping[str, Obj], missing: Mapping[str, int], pod: Obj
) -> Counter[str]:
    wanted = (container.get("resources") or {}).get("requests") or {}
    asked = Counter({name: amount(name, value) for name, value in wanted.items()})
    status = statuses.get(container["name"])
    if status is not None and status.get("resources") is not None:
        granted = [(status["resources"].get("requests") or {}), status.get("allocatedResources") or {}]
        base = Counter[str]() if _is_infeasible(pod) else asked
        asked = _most([base, *({n: amount(n, v) for n, v in part.items()} for part in granted)])
    for name, value in missing.items():
        if name not in asked:
            asked[name] = value
    return asked


def _most(parts: Iterable[Mapping[str, int]]) -> Counter[str]:
    result: Counter[str] = Counter()
    for part in parts:
        for name, value in part.items():
            result[name] = max(result[name], value)
    return result


def _statuses(pod: Obj) -> dict[str, Obj]:
    status = pod.get("status") or {}
    entries = [*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())]
    return {entry["name"]: entry for entry in entries if entry.get("resources") is not None}


def _is_infeasible(pod: Obj) -> bool:
    pending = condition(pod, "PodResizePending")
    return pending is not None and pending.get("reason") == "Infeasible"


def _pod_level(spec: Obj) -> dict[str, int]:
    """Requests of the pod as a whole; they take the place of the containers' sum."""
    wanted: Mapping[str, Any] = (spec.get("resources") or {}).get("requests") or {}
    supported = (name for name in wanted if name in DEFAULTS or name.startswith("hugepages-"))
    return {name: amount(name, wanted[name]) for name in supported}


def _missing(pod: Obj, requests: Mapping[str, int]) -> Mapping[str, int]:
    if not _pod_level(pod["spec"]):
        return DEFAULTS
    return {name: value for name, value in DEFAULTS.items() if name not in requests}


def _is_counted(name: str) -> bool:
    """CPU, memory, storage, and what has a prefix: `example.com/gpu`, `hugepages-2Mi`."""
    return (
        name in (CPU, MEMORY, STORAGE)
        or "/" in name
        or name.startswith(("hugepages-", "attachable-volumes-"))
    )


def _ports(spec: Obj) -> Iterator[Port]:
    sidecars = [c for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in [*sidecars, *(spec.get("containers") or ())]:
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield Port(
                    port.get("hostIP") or WILDCARD, port.get("protocol") or "TCP", int(port["hostPort"])
                )
