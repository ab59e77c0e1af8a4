"""`/stats/summary` (kubelet `pkg/kubelet/apis/stats/v1alpha1/types.go`), as far as the node can tell.

CPU, memory and file system of the node; CPU, memory and writable layers of containers; a pod is the sum of
its containers. Without: the network, volumes, logs, and the groups of the system.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgelab.daemon.clock import rfc3339
from edgelab.edgecore.edged import machine
from edgelab.edgecore.edged.streams.usage import BILLION, ContainerUsage, Cpu, Memory, Meter, PodUsage

Obj = dict[str, Any]
CONTENT_TYPE = "application/json"


async def text(meter: Meter, node: str, root: Path) -> bytes:
    """The document. `root`: a directory of the node's file system. Raises RuntimeUnreachable and CriError."""
    pods = [_pod(usage) for usage in await meter.pods()]
    cpu, memory = meter.node_cpu(), meter.node_memory()
    about = {
        "nodeName": node,
        "startTime": _time(_boot() * BILLION),
        "cpu": _cpu(cpu),
        "memory": _memory(memory),
        "fs": _filesystem(root, memory.time),
    }
    return msgspec.json.encode({"node": about, "pods": pods}) + b"\n"


def _pod(usage: PodUsage) -> Obj:
    metadata, status = usage.pod["metadata"], usage.pod.get("status") or {}
    found: Obj = {
        "podRef": {
            "name": metadata["name"],
            "namespace": metadata.get("namespace", ""),
            "uid": metadata.get("uid", ""),
        },
        "startTime": status.get("startTime"),
        "containers": [_container(container) for container in usage.containers],
    }
    if usage.containers:
        found["cpu"] = _cpu(_sum_cpu([container.cpu for container in usage.containers]))
        found["memory"] = _memory(_sum_memory([container.memory for container in usage.containers]))
    return found


def _container(usage: ContainerUsage) -> Obj:
    return {
        "name": usage.name,
        "startTime": usage.started or None,
        "cpu": _cpu(usage.cpu),
        "memory": _memory(usage.memory),
        "rootfs": {"time": _time(usage.memory.time), "usedBytes": usage.writable},
    }


def _sum_cpu(parts: Sequence[Cpu]) -> Cpu:
    cores = [part.cores for part in parts if part.cores is not None]
    total = sum(part.total for part in parts)
    return Cpu(max(part.time for part in parts), total, sum(cores) if cores else None)


def _sum_memory(parts: Sequence[Memory]) -> Memory:
    return Memory(
        max(part.time for part in parts),
        sum(part.working_set for part in parts),
        sum(part.usage for part in parts),
        sum(part.rss for part in parts),
        page_faults=sum(part.page_faults for part in parts),
        major_page_faults=sum(part.major_page_faults for part in parts),
    )


def _cpu(cpu: Cpu) -> Obj:
    known = {} if cpu.cores is None else {"usageNanoCores": cpu.cores}
    return {"time": _time(cpu.time), **known, "usageCoreNanoSeconds": cpu.total}


def _memory(memory: Memory) -> Obj:
    known = {} if memory.available is None else {"availableBytes": memory.available}
    return {
        "time": _time(memory.time),
        **known,
        "usageBytes": memory.usage,
        "workingSetBytes": memory.working_set,
        "rssBytes": memory.rss,
        "pageFaults": memory.page_faults,
        "majorPageFaults": memory.major_page_faults,
    }


def _filesystem(root: Path, time: int) -> Obj:
    disk = machine.filesystem(root)
    return {
        "time": _time(time),
        "availableBytes": disk.f_bavail * disk.f_frsize,
        "capacityBytes": disk.f_blocks * disk.f_frsize,
        "usedBytes": (disk.f_blocks - disk.f_bfree) * disk.f_frsize,
        "inodesFree": disk.f_favail,
        "inodes": disk.f_files,
        "inodesUsed": disk.f_files - disk.f_ffree,
    }


def _boot() -> int:
    lines = Path("/proc/stat").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("btime ")), 0)


def _time(nanoseconds: int) -> str:
    return rfc3339(dt.datetime.fromtimestamp(nanoseconds // BILLION, dt.UTC))
