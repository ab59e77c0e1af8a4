"""Whether a node has room for a job: 80 % of a thing are in use at most (KubeEdge `pre_check.go`)."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from edgelab.daemon.clock import Clock

MOST = 80.0
"""Per cent."""
SAMPLE_SECONDS = 0.1


class CheckFailed(Exception):
    """What there is too little of."""


async def check(
    items: Sequence[str], clock: Clock, *, processes: Path = Path("/proc"), root: str = "/"
) -> None:
    """Look at each of `cpu`, `mem` and `disk` that is asked for. Raises CheckFailed."""
    usages: dict[str, Callable[[], float]] = {
        "mem": lambda: _memory(processes),
        "disk": lambda: _disk(root),
    }
    for item in items:
        if item == "cpu":
            used = await _cpu(clock, processes)
        elif item in usages:
            used = usages[item]()
        else:
            raise CheckFailed(f"check item {item} not support; there are cpu, mem, disk")
        if used > MOST:
            raise CheckFailed(
                f"current {item} usage is {used:.2f}, which exceeds the maximum allowed usage {MOST:.2f}"
            )


async def _cpu(clock: Clock, processes: Path) -> float:
    before = _times(processes)
    await clock.sleep(SAMPLE_SECONDS)
    after = _times(processes)
    total = sum(after) - sum(before)
    idle = sum(after[3:5]) - sum(before[3:5])
    return 100.0 * (total - idle) / total if total > 0 else 0.0


def _times(processes: Path) -> list[int]:
    """Ticks of all CPUs: user, nice, system, idle, iowait, irq, softirq, steal (proc(5))."""
    first = (processes / "stat").read_text(encoding="ascii").splitlines()[0]
    return [int(word) for word in first.split()[1:9]]


def _memory(processes: Path) -> float:
    found = dict(
        line.split(":", 1) for line in (processes / "meminfo").read_text(encoding="ascii").splitlines()
    )
    total, available = (int(found[key].split()[0]) for key in ("MemTotal", "MemAvailable"))
    return 100.0 * (total - available) / total


def _disk(root: str) -> float:
    """As df shows it: what is kept for root counts neither as used nor as free."""
    disk = os.statvfs(root)
    used = disk.f_blocks - disk.f_bfree
    return 100.0 * used / (used + disk.f_bavail) if used + disk.f_bavail else 0.0
