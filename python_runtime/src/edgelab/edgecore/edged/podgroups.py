"""Limits of whole pods, of the QoS classes and of all pods together (kubelet `cm/`: `pod_container_manager`,
`qos_container_manager`, `node_container_manager`).

The runtime makes the groups; here they get their limits: by files with the driver cgroupfs, on cgroup v1,
hybrid and v2 alike, through systemd with the driver systemd. A limit that cannot be set is told once and
costs nothing else: the containers' own limits are the runtime's work.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgelab.edgecore.edged import builder, cgroups, podspec
from edgelab.edgecore.edged.builder import NodeSettings
from edgelab.edgecore.edged.dbus import Bus, BusError
from edgelab.objects import quantity

log = logging.getLogger(__name__)
Obj = dict[str, Any]

LEAST_SHARES = 2
SYSTEMD, SYSTEMD_PATH = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"

_told: set[str] = set()


@dataclass(frozen=True, slots=True)
class Limits:
    """None leaves what is there. `quota` and `period` in microseconds, `memory` in bytes."""

    shares: int | None = None
    quota: int | None = None
    period: int = cgroups.PERIOD
    memory: int | None = None
    pids: int | None = None

    @property
    def weight(self) -> int | None:
        """`shares` on the scale of cgroup v2, 1 to 10000."""
        return None if self.shares is None else 1 + (self.shares - 2) * 9999 // 262142


def of_pod(pod: Obj, node: NodeSettings) -> Limits:
    """What a pod's group gets (`ResourceConfigForPod`): a limit only if each container has one."""
    pids = node.pids_limit if node.pids_limit > 0 else None
    if podspec.qos_class(pod) == podspec.BEST_EFFORT:
        return Limits(LEAST_SHARES, pids=pids)
    cpu, memory = _limit(pod, "cpu"), _limit(pod, "memory")
    quota = None
    if cpu is not None and node.cfs_quota:
        quota = max(1000, cpu * node.cfs_period // 1000)
    return Limits(cgroups.shares(_request(pod)), quota, node.cfs_period, memory, pids)


def of_burstable(pods: Iterable[Obj]) -> Limits:
    """The class Burstable weighs what its pods ask for."""
    milli = sum(_request(pod) for pod in pods if podspec.qos_class(pod) == podspec.BURSTABLE)
    return Limits(cgroups.shares(milli))


def of_all(allocatable: dict[str, str], reserved_memory: int, node: NodeSettings) -> Limits:
    """All pods together: what the node does not keep for itself; `reserved_memory` in bytes."""
    return Limits(
        cgroups.shares(quantity.milli(allocatable.get("cpu", "0"))),
        memory=node.memory - reserved_memory if node.memory > reserved_memory else None,
    )


async def apply(group: str, limits: Limits, mount: Path = cgroups.MOUNT) -> None:
    """Give a group its limits; the group is there, or is left alone."""
    if group.endswith(".slice"):
        await _by_systemd(group, limits, v2=(mount / "cgroup.controllers").exists())
    elif group:
        for path, text in files(group, limits, mount):
            try:
                path.write_text(text)
            except OSError as error:
                _tell(f"{path.name} of the pods' control groups cannot be set: {error.strerror}")


def files(group: str, limits: Limits, mount: Path = cgroups.MOUNT) -> list[tuple[Path, str]]:
    """Which files get which text; those that are not there are left out."""
    period = str(limits.period)
    if (mount / "cgroup.controllers").exists():
        top = {"": mount / group.lstrip("/")}
        wanted = [
            ("", "cpu.weight", limits.weight),
            ("", "cpu.max", None if limits.quota is None else f"{limits.quota} {period}"),
            ("", "memory.max", limits.memory),
            ("", "pids.max", limits.pids),
        ]
    else:
        top = {name: mount / name / group.lstrip("/") for name in ("cpu", "memory", "pids")}
        wanted = [
            ("cpu", "cpu.shares", limits.shares),
            ("cpu", "cpu.cfs_period_us", None if limits.quota is None else period),
            ("cpu", "cpu.cfs_quota_us", limits.quota),
            ("memory", "memory.limit_in_bytes", limits.memory),
            ("pids", "pids.max", limits.pids),
        ]
    found = [(top[hierarchy] / name, str(value)) for hierarchy, name, value in wanted if value is not None]
    return [(path, text) for path, text in found if path.exists()]


def class_groups(node: NodeSettings) -> dict[str, str]:
    """The groups of `all` pods, of `burstable` and of `besteffort`; none where the runtime chooses."""
    if not node.cgroups_per_qos:
        return {}
    names = {"all": (), "burstable": ("burstable",), "besteffort": ("besteffort",)}
    return {
        name: cgroups.group(levels, node.cgroup_driver, node.cgroup_root) for name, levels in names.items()
    }


async def limit_pod(pod: Obj, node: NodeSettings) -> None:
    """Give a pod's group its limits."""
    await apply(builder.cgroup_parent(pod, node), of_pod(pod, node))


async def _by_systemd(unit: str, limits: Limits, *, v2: bool) -> None:
    wanted = {
        "CPUWeight" if v2 else "CPUShares": limits.weight if v2 else limits.shares,
        "CPUQuotaPerSecUSec": None if limits.quota is None else limits.quota * 1_000_000 // limits.period,
        "MemoryMax" if v2 else "MemoryLimit": limits.memory,
        "TasksMax": limits.pids,
    }
    properties = [(name, ("t", value)) for name, value in wanted.items() if value is not None]
    try:
        async with Bus() as bus:
            await bus.call(
                SYSTEMD,
                SYSTEMD_PATH,
                f"{SYSTEMD}.Manager",
                "SetUnitProperties",
                "sba(sv)",
                unit,
                True,
                properties,
            )
    except BusError as error:
        _tell(f"systemd does not set the limits of pods: {error}".replace(unit, "a slice"))


def _tell(text: str) -> None:
    if text not in _told:
        _told.add(text)
        log.warning("%s", text)


def _request(pod: Obj) -> int:
    """CPU that a pod asks for, in thousandths; init containers run before and count by the largest."""

    def milli(container: Obj) -> int:
        return quantity.milli(podspec.amount(container, "requests", "cpu") or "0")

    init = podspec.init_containers(pod)
    app = sum(map(milli, podspec.containers(pod))) + sum(milli(c) for c in init if podspec.is_sidecar(c))
    return max(app, max((milli(c) for c in init if not podspec.is_sidecar(c)), default=0))


def _limit(pod: Obj, resource: str) -> int | None:
    """The sum of all limits, CPU in thousandths; None when a container has none."""
    convert = quantity.milli if resource == "cpu" else quantity.whole

    def value(container: Obj) -> int:
        text = podspec.amount(container, "limits", resource)
        return convert(text) if text else 0

    init, main = podspec.init_containers(pod), podspec.containers(pod)
    if any(value(container) <= 0 for container in [*init, *main]):
        return None
    app = sum(map(value, main)) + sum(value(c) for c in init if podspec.is_sidecar(c))
    return max(app, max((value(c) for c in init if not podspec.is_sidecar(c)), default=0))
