"""What the node has left, and what its pods use (kubelet `server/stats`, in a few files and one CRI call).

Memory comes from the runtime, processes from the pods' control groups, disk from a walk over volumes and
logs. The walk is made only when somebody needs it, on a thread.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.cri.runtime import Runtime
from edgelab.edgecore.edged import builder, cgroups, machine, names
from edgelab.edgecore.edged.builder import NodeSettings
from edgelab.edgecore.edged.pressure.ranking import ContainerUse, Use
from edgelab.edgecore.edged.pressure.thresholds import Level

Obj = dict[str, Any]

EMPTY_DIR = "kubernetes.io~empty-dir"


class Usage:
    """Reads what thresholds and rankings are about."""

    def __init__(self, runtime: Runtime, node: NodeSettings) -> None:
        self._runtime = runtime
        self._node = node
        self._image_path: Path | None = None

    async def levels(self) -> dict[str, Level]:
        """Available and total of every signal that can be observed now."""
        found = {
            signal: Level(int(available), int(total))
            for signal, (available, total) in machine.usage(self._node.root).items()
            if total > 0
        }
        if (path := await self.image_path()) is not None:
            found |= filesystem("imagefs", path)
        return found

    async def image_path(self) -> Path | None:
        """Where the runtime keeps images; None when it does not say, or the path is not to be seen here."""
        if self._image_path is None:
            try:
                systems = await self._runtime.image_filesystems()
            except (RuntimeUnreachable, CriError):
                return None
            paths = [Path(system.fs_id.mountpoint) for system in systems if system.fs_id.mountpoint]
            self._image_path = next((path for path in paths if path.is_dir()), None)
        return self._image_path

    async def dedicated_images(self) -> bool:
        """Whether images lie on another file system than everything else of the node."""
        path = await self.image_path()
        root = machine.existing(self._node.root)
        return path is not None and path.stat().st_dev != root.stat().st_dev

    async def of_pods(self, pods: Sequence[Obj], *, disk: bool) -> dict[str, Use]:
        """By uid; with `disk`, volumes and logs are walked. Raises RuntimeUnreachable and CriError."""
        found: dict[str, Use] = {}
        wanted = {names.uid(pod) for pod in pods}
        for entry in await self._runtime.stats():
            labels = entry.attributes.labels
            uid = labels.get(names.POD_UID, "")
            if uid in wanted:
                use = found.setdefault(uid, Use()).containers.setdefault(
                    labels.get(names.CONTAINER_NAME, ""), ContainerUse()
                )
                use.memory += entry.memory.working_set_bytes.value
                use.writable += entry.writable_layer.used_bytes.value
        for pod in pods:
            use_of_pod = found.get(names.uid(pod))
            if use_of_pod is not None:
                use_of_pod.processes = cgroups.processes(builder.cgroup_parent(pod, self._node))
                if disk:
                    await asyncio.to_thread(self._walk, pod, use_of_pod)
        return found

    def _walk(self, pod: Obj, use: Use) -> None:
        volumes = self._node.root / "pods" / names.uid(pod) / "volumes" / EMPTY_DIR
        for volume in pod["spec"].get("volumes") or []:
            if "emptyDir" in volume:
                size, inodes = weigh([volumes / volume["name"]])
                use.volumes[volume["name"]] = size
                use.inodes += inodes
        logs = builder.log_directory(pod, self._node)
        for name, container in use.containers.items():
            size, inodes = weigh([logs / name])
            container.logs = size
            use.inodes += inodes


def filesystem(prefix: str, path: Path) -> dict[str, Level]:
    """The two signals of a file system."""
    disk = os.statvfs(path)
    found = {f"{prefix}.available": Level(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)}
    if disk.f_files:
        found[f"{prefix}.inodesFree"] = Level(disk.f_favail, disk.f_files)
    return found


def weigh(tops: Iterable[Path]) -> tuple[int, int]:
    """Bytes on the disk and inodes of everything below; links are not followed, hard links count once."""
    size, seen = 0, set()
    stack = [str(top) for top in tops]
    while stack:
        path = stack.pop()
        try:
            facts = os.lstat(path)
            if stat.S_ISDIR(facts.st_mode):
                stack += [entry.path for entry in os.scandir(path)]
        except OSError:  # it went away meanwhile
            continue
        if (facts.st_dev, facts.st_ino) not in seen:
            seen.add((facts.st_dev, facts.st_ino))
            size += facts.st_blocks * 512
    return size, len(seen)
