"""What containers and the node use, as a kubelet's pages show it.

Receives: the runtime's statistics (one CRI call), `/proc`. Stores: the last reading of each running
container, from which the cores in use are computed where the runtime does not say.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.runtime import Runtime
from edgelab.daemon.clock import Clock
from edgelab.edgecore.edged import machine, names

Obj = dict[str, Any]
BILLION = 1_000_000_000


@dataclass(slots=True)
class Cpu:
    """`total` in core-nanoseconds at `time` (ns since 1970); `cores` in nanocores, None at first."""

    time: int
    total: int
    cores: int | None = None


@dataclass(slots=True)
class Memory:
    """Bytes at `time` (ns since 1970)."""

    time: int
    working_set: int
    usage: int = 0
    rss: int = 0
    available: int | None = None
    page_faults: int = 0
    major_page_faults: int = 0


@dataclass(slots=True)
class ContainerUsage:
    """One running container; `started` is the kubelet's text, empty while it has not reported it."""

    name: str
    cpu: Cpu
    memory: Memory
    writable: int
    started: str = ""


@dataclass(slots=True)
class PodUsage:
    """A pod of this node with its running containers."""

    pod: Obj
    containers: list[ContainerUsage] = field(default_factory=list)


class Meter:
    """Reads usage. `pods` gives the pods of this node with their status."""

    def __init__(self, runtime: Runtime, pods: Callable[[], list[Obj]], clock: Clock) -> None:
        self._runtime = runtime
        self._pods = pods
        self._clock = clock
        self._last: dict[str, Cpu] = {}
        self._node: Cpu | None = None

    async def pods(self) -> list[PodUsage]:
        """In the order of namespace and name. Raises RuntimeUnreachable and CriError."""
        found = {names.uid(pod): PodUsage(pod) for pod in self._pods()}
        last: dict[str, Cpu] = {}
        for entry in await self._runtime.stats():
            owner = found.get(entry.attributes.labels.get(names.POD_UID, ""))
            if owner is None:
                continue
            name = entry.attributes.labels.get(names.CONTAINER_NAME, "")
            cpu = last[entry.attributes.id] = _cpu(entry.cpu, self._last.get(entry.attributes.id))
            used = entry.writable_layer.used_bytes.value
            owner.containers.append(
                ContainerUsage(name, cpu, _memory(entry.memory), used, _started(owner.pod, name))
            )
        self._last = last
        for usage in found.values():
            usage.containers.sort(key=lambda container: container.name)
        return sorted(found.values(), key=lambda usage: names.key(usage.pod))

    def node_cpu(self) -> Cpu:
        """Of all CPUs since the machine started."""
        now = Cpu(_nanoseconds(self._clock), busy(Path("/proc/stat").read_text()))
        now.cores = _cores(now, self._node)
        self._node = now
        return now

    def node_memory(self) -> Memory:
        """What is not available for new pods is the working set."""
        available, total = machine.memory()
        used = total - available
        return Memory(_nanoseconds(self._clock), used, used, available=available)


def busy(stat: str) -> int:
    """Core-nanoseconds of `/proc/stat` in which a CPU was neither idle nor waiting for a disk."""
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.split("\n", 1)[0].split()[1:9])
    ticks = user + nice + system + irq + softirq + steal
    return ticks * BILLION // os.sysconf("SC_CLK_TCK")


def _cpu(found: pb.CpuUsage, before: Cpu | None) -> Cpu:
    now = Cpu(found.timestamp, found.usage_core_nano_seconds.value)
    now.cores = found.usage_nano_cores.value if found.HasField("usage_nano_cores") else _cores(now, before)
    return now


def _cores(now: Cpu, before: Cpu | None) -> int | None:
    """Nanocores between two readings; the same reading again gives what was computed."""
    if before is None:
        return None
    passed = now.time - before.time
    return max(0, now.total - before.total) * BILLION // passed if passed > 0 else before.cores


def _memory(found: pb.MemoryUsage) -> Memory:
    return Memory(
        found.timestamp,
        found.working_set_bytes.value,
        found.usage_bytes.value,
        found.rss_bytes.value,
        found.available_bytes.value if found.HasField("available_bytes") else None,
        found.page_faults.value,
        found.major_page_faults.value,
    )


def _started(pod: Mapping[str, Any], name: str) -> str:
    status = pod.get("status") or {}
    for kind in ("containerStatuses", "initContainerStatuses"):
        for container in status.get(kind) or ():
            if container.get("name") == name:
                running = (container.get("state") or {}).get("running") or {}
                return str(running.get("startedAt") or "")
    return ""


def _nanoseconds(clock: Clock) -> int:
    return int(clock.now().timestamp() * 1000) * 1_000_000
