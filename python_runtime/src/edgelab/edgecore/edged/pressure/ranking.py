"""Which pod goes first, and what its status says (kubelet `eviction/helpers.go`). No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgelab.edgecore.edged import names, podspec
from edgelab.edgecore.edged.pressure.thresholds import SIGNALS, Levels, Threshold, amount
from edgelab.objects import quantity

Obj = dict[str, Any]

REASON = "Evicted"
CRITICAL = 2_000_000_000
"""Priority from which a pod is system-critical, and never evicted."""


@dataclass(slots=True)
class ContainerUse:
    """What one container uses, in bytes; `writable` is its own layer."""

    memory: int = 0
    writable: int = 0
    logs: int = 0


@dataclass(slots=True)
class Use:
    """What a pod uses: bytes, inodes of its volumes, processes; `volumes` by name, in bytes."""

    containers: dict[str, ContainerUse] = field(default_factory=dict)
    volumes: dict[str, int] = field(default_factory=dict)
    inodes: int = 0
    processes: int = 0

    @property
    def memory(self) -> int:
        """Working sets of all containers."""
        return sum(container.memory for container in self.containers.values())

    @property
    def disk(self) -> int:
        """Writable layers, logs and local volumes."""
        layers = sum(use.writable + use.logs for use in self.containers.values())
        return layers + sum(self.volumes.values())


def critical(pod: Obj) -> bool:
    """Static and mirror pods, and those of a system-critical priority class."""
    notes = pod["metadata"].get("annotations") or {}
    ours = notes.get(names.CONFIG_SOURCE, "api") != "api" or names.MIRROR in notes
    return ours or priority(pod) >= CRITICAL


def priority(pod: Obj) -> int:
    """The pod's priority."""
    return int(pod["spec"].get("priority") or 0)


def rank(pods: Sequence[Obj], uses: Mapping[str, Use], signal: str) -> list[Obj]:
    """Pods in the order in which they are to be ended for the sake of `signal`."""
    resource = SIGNALS[signal].resource

    def order(pod: Obj) -> tuple[bool, bool, int, int]:
        use = uses.get(names.uid(pod))
        if resource == "pids":
            return False, False, priority(pod), -(use.processes if use else 0)
        if use is None:
            return False, False, priority(pod), 0  # nothing is known of it: first
        used = {"memory": use.memory, "inodes": use.inodes}.get(resource, use.disk)
        over = used - request(pod, resource)
        return True, over <= 0, priority(pod), -over

    return sorted(pods, key=order)


def request(pod: Obj, resource: str) -> int:
    """What all containers of a pod ask for together; init containers run before and count by the largest."""
    if resource == "inodes":
        return 0
    app = sum(_amount(container, resource) for container in podspec.containers(pod))
    sidecars = sum(_amount(c, resource) for c in podspec.init_containers(pod) if podspec.is_sidecar(c))
    first = max((_amount(container, resource) for container in podspec.init_containers(pod)), default=0)
    return max(app + sidecars, first)


def message(pod: Obj, use: Use | None, threshold: Threshold, levels: Levels) -> str:
    """The pod's status message, in the kubelet's words."""
    resource = SIGNALS[threshold.signal].resource
    text = f"The node was low on resource: {resource}. "
    if (level := levels.get(threshold.signal)) is not None:
        wanted = binary(amount(threshold.value, level.capacity))
        text += f"Threshold quantity: {wanted}, available: {binary(level.available)}. "
    for container in [*podspec.containers(pod), *podspec.init_containers(pod)]:
        found = use.containers.get(container["name"]) if use else None
        if found is None or resource not in ("memory", "ephemeral-storage"):
            continue
        used = found.memory if resource == "memory" else found.writable + found.logs
        asked = podspec.amount(container, "requests", resource) or "0"
        if used > quantity.whole(asked):
            text += (
                f"Container {container['name']} was using {binary(used)}, request is {asked}, "
                f"has larger consumption of {resource}. "
            )
    return text


def over_limit(pod: Obj, use: Use) -> str:
    """Why a pod uses more local storage than it may; empty when it does not."""
    for volume in pod["spec"].get("volumes") or []:
        limit = (volume.get("emptyDir") or {}).get("sizeLimit")
        if limit and 0 < quantity.whole(limit) < use.volumes.get(volume["name"], 0):
            return f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{limit}". '
    limits = [podspec.amount(c, "limits", "ephemeral-storage") for c in podspec.containers(pod)]
    total = sum(quantity.whole(limit) for limit in limits if limit)
    if total and use.disk > total:
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {binary(total)}. "
    for container, limit in zip(podspec.containers(pod), limits, strict=True):
        found = use.containers.get(container["name"])
        if limit and found and found.writable + found.logs > quantity.whole(limit) > 0:
            return f'Container {container["name"]} exceeded its local ephemeral storage limit "{limit}". '
    return ""


def limited(pod: Obj) -> bool:
    """Whether `over_limit` can ever say anything of a pod."""
    volumes = pod["spec"].get("volumes") or []
    return any((volume.get("emptyDir") or {}).get("sizeLimit") for volume in volumes) or any(
        podspec.amount(container, "limits", "ephemeral-storage") for container in podspec.containers(pod)
    )


def binary(number: int) -> str:
    """A number as Go prints a quantity in BinarySI: the largest unit without a remainder."""
    units = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
    power = 0
    while number and number % 1024 == 0 and power < len(units) - 1:
        number, power = number // 1024, power + 1
    return f"{number}{units[power]}"


def _amount(container: Obj, resource: str) -> int:
    text = podspec.amount(container, "requests", resource)
    return quantity.whole(text) if text else 0
