"""Take away what the runtime still holds of a pod: dead containers, old sandboxes, in the end everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgelab.cri.runtime import Runtime
from edgelab.edgecore.edged import podspec
from edgelab.edgecore.edged.state import EXITED, PodState

Obj = dict[str, Any]


async def erase(runtime: Runtime, found: PodState) -> None:
    """Stop and remove all sandboxes and containers of a pod."""
    for sandbox in found.sandboxes:
        await runtime.stop_sandbox(sandbox.id)
    for container in found.containers:
        await runtime.remove_container(container.id)
    for sandbox in found.sandboxes:
        await runtime.remove_sandbox(sandbox.id)


async def collect(runtime: Runtime, found: PodState) -> None:
    """Remove what restarts left behind: of each container the last dead one stays, and its log."""
    kept: set[str] = set()
    for container in found.containers:
        if container.state != EXITED:
            continue
        newest = found.container(container.name)
        if container.name not in kept or newest is container:
            kept.add(container.name)
            continue
        await runtime.remove_container(container.id)
        _remove_log(container.log_path)
    for sandbox in found.sandboxes[1:]:
        if not any(container.sandbox == sandbox.id for container in found.containers):
            await runtime.stop_sandbox(sandbox.id)
            await runtime.remove_sandbox(sandbox.id)


async def forget_initialization(runtime: Runtime, pod: Obj, found: PodState) -> None:
    """Remove the init containers of an earlier sandbox: a new one is initialized from the beginning."""
    initial = {spec["name"] for spec in podspec.init_containers(pod)}
    for container in found.containers:
        if container.name in initial and not container.running:
            await runtime.remove_container(container.id)


def _remove_log(path: str) -> None:
    if path:
        Path(path).unlink(missing_ok=True)


def earlier_starts(logs: Path) -> int:
    """How often a container was started, from the names of its logs (`0.log`, `1.log`, ...)."""
    numbers = [int(stem) for path in logs.glob("*.log*") if (stem := path.name.split(".")[0]).isdigit()]
    return max(numbers, default=-1) + 1
