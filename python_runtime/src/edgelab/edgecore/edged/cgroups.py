"""Where a pod's control groups lie and what limits its containers get (kubelet `pkg/kubelet/cm`).

Names follow the kubelet's `cgroupsPerQOS`; the runtime creates the groups. Works alike for cgroup v1,
hybrid and v2: only paths and numbers are decided here.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.edgecore.edged import podspec
from edgelab.objects import quantity

Obj = dict[str, Any]

PERIOD = 100_000
"""CFS period in microseconds, unless cpuCFSQuotaPeriod says otherwise."""

MOUNT = Path("/sys/fs/cgroup")


def parent(pod: Obj, driver: str, root: str = "") -> str:
    """The pod's group, in the form the runtime's cgroup driver expects."""
    qos = podspec.qos_class(pod)
    name = "pod" + pod["metadata"]["uid"]
    return group((name,) if qos == podspec.GUARANTEED else (qos.lower(), name), driver, root)


def group(below: Sequence[str], driver: str, root: str = "") -> str:
    """A group below that of all pods, in the form the runtime's cgroup driver expects."""
    levels = [*(part for part in root.split("/") if part), "kubepods", *below]
    if driver == "systemd":
        return "-".join(level.replace("-", "_") for level in levels) + ".slice"
    return "/" + "/".join(levels)


def remove(group: str, mount: Path = MOUNT) -> None:
    """Remove the empty group of a pod that is gone from every hierarchy (cgroupfs names only).

    systemd removes the slices it made; a group that still holds something is left alone.
    """
    if not group.startswith("/"):
        return
    hierarchies = [mount, *(path for path in mount.iterdir() if path.is_dir())] if mount.is_dir() else []
    for hierarchy in hierarchies:
        top = hierarchy / group.lstrip("/")
        if not top.is_dir():
            continue
        for directory, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(directory).rmdir()


def processes(group: str, mount: Path = MOUNT) -> int:
    """How many processes a pod has; 0 when that is not counted here."""
    if not group:
        return 0
    path = _slice_path(group) if group.endswith(".slice") else group.lstrip("/")
    for hierarchy in ("", "pids"):
        with contextlib.suppress(OSError, ValueError):
            return int((mount / hierarchy / path / "pids.current").read_text())
    return 0


def _slice_path(name: str) -> str:
    """Where systemd puts a slice: `a-b.slice` lies in `a.slice`."""
    parts = name.removesuffix(".slice").split("-")
    return "/".join("-".join(parts[: n + 1]) + ".slice" for n in range(len(parts)))


def resources(
    pod: Obj, container: Obj, *, node_memory: int, quota: bool = True, period: int = PERIOD
) -> pb.LinuxContainerResources:
    """CPU shares and quota, memory limit and OOM score of a container; `node_memory` in bytes."""
    request, limit = (podspec.amount(container, kind, "cpu") for kind in ("requests", "limits"))
    memory = podspec.amount(container, "limits", "memory")
    result = pb.LinuxContainerResources(
        cpu_shares=shares(quantity.milli(request or "0")),
        memory_limit_in_bytes=quantity.whole(memory) if memory else 0,
        oom_score_adj=oom_score(pod, container, node_memory),
    )
    if limit and quota and quantity.milli(limit) > 0:
        result.cpu_period = period
        result.cpu_quota = max(1000, quantity.milli(limit) * period // 1000)
    return result


def oom_score(pod: Obj, container: Obj, node_memory: int) -> int:
    """-997 guaranteed, 1000 best effort, in between by the share of memory asked for (`qos/policy.go`)."""
    qos = podspec.qos_class(pod)
    if qos == podspec.GUARANTEED:
        return -997
    if qos == podspec.BEST_EFFORT:
        return 1000
    asked = podspec.amount(container, "requests", "memory")
    share = 1000 * quantity.whole(asked) // node_memory if asked and node_memory else 0
    return min(999, max(3, 1000 - share))


def shares(milli: int) -> int:
    """CPU shares of cgroup v1 for thousandths of a CPU."""
    return max(2, milli * 1024 // 1000)
