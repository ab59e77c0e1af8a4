"""A pod's volumes on the node's disk (kubelet `pkg/volume/*`).

Receives: the pod and what MetaManager stores. Stores: `<root>/pods/<uid>/volumes/...`, named as the
kubelet names them. ConfigMaps, secrets, tokens and the downward API are written again when they change.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgelab.edgecore.edged import atomic, podspec, projection
from edgelab.edgecore.edged.fields import PodFacts
from edgelab.edgecore.edged.problems import ContainerProblem, VolumeProblem
from edgelab.edgecore.interfaces import Meta
from edgelab.objects import quantity

Obj = dict[str, Any]

PROJECTED = {
    "configMap": "configmap",
    "secret": "secret",
    "downwardAPI": "downward-api",
    "projected": "projected",
}

HOST_PATH_TYPES: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


class Volumes:
    """The volumes of all pods of this node."""

    def __init__(self, root: Path, meta: Meta) -> None:
        self._pods = root / "pods"
        self._meta = meta

    def pod_directory(self, uid: str) -> Path:
        """Where everything of a pod lies."""
        return self._pods / uid

    async def set_up(self, pod: Obj, facts: PodFacts) -> dict[str, Path]:
        """Bring all volumes about and up to date; gives name -> host path. Raises VolumeProblem."""
        base = self.pod_directory(pod["metadata"]["uid"])
        if not base.is_dir():
            self._pods.mkdir(parents=True, exist_ok=True, mode=0o750)
            base.mkdir(mode=0o750, exist_ok=True)
        paths: dict[str, Path] = {}
        for volume in pod["spec"].get("volumes") or []:
            try:
                paths[volume["name"]] = await self._one(pod, base / "volumes", volume, facts)
            except (ContainerProblem, OSError, ValueError) as error:
                raise VolumeProblem(
                    f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}'
                ) from error
        return paths

    async def remove(self, uid: str) -> None:
        """Remove everything of a pod that is gone."""
        base = self.pod_directory(uid)
        if not base.is_dir():
            return
        for path in await asyncio.to_thread(_mounts_below, base):
            await _run("umount", "-l", path)
        if not await asyncio.to_thread(_mounts_below, base):  # never delete through a mount
            await asyncio.to_thread(shutil.rmtree, base, ignore_errors=True)

    def known(self) -> set[str]:
        """Uids of all pods that have files here."""
        return {path.name for path in self._pods.iterdir()} if self._pods.is_dir() else set()

    async def _one(self, pod: Obj, base: Path, volume: Obj, facts: PodFacts) -> Path:
        if "hostPath" in volume:
            return _host_path(volume["hostPath"] or {})
        group = (pod["spec"].get("securityContext") or {}).get("fsGroup")
        if "emptyDir" in volume:
            empty: Path = base / "kubernetes.io~empty-dir" / volume["name"]
            return await _empty_dir(empty, volume["emptyDir"] or {}, group, _memory(pod, facts))
        for key, kind in PROJECTED.items():
            if key in volume:
                files = await projection.files(pod, key, volume[key] or {}, self._meta, facts)
                path: Path = base / f"kubernetes.io~{kind}" / volume["name"]
                atomic.write(path, files, group=group)
                return path
        kinds = ", ".join(sorted(set(volume) - {"name"})) or "none"
        raise ValueError(f"volume type {kinds} is not offered on this node")


def sub_path(volume: Path, inner: str) -> Path:
    """A path below a volume, through links but never out of it. Raises ValueError.

    What is missing is made as a directory with the rights of the volume's own.
    """
    root = volume.resolve()
    target = (root / inner).resolve()
    if not target.is_relative_to(root):
        raise ValueError(f"subPath {inner!r} leaves the volume")
    above = root.stat() if root.exists() else None
    for path in reversed([target, *target.parents]):
        if path.is_relative_to(root) and not path.exists():
            path.mkdir(parents=True)
            if above is not None:
                os.chown(path, -1, above.st_gid)
                path.chmod(stat.S_IMODE(above.st_mode))
    return target


def is_read_only(volume: Obj) -> bool:
    """Whether containers must not write: what is projected from objects belongs to them."""
    return any(key in volume for key in PROJECTED)


async def _empty_dir(path: Path, source: Obj, group: int | None, memory: int) -> Path:
    """`memory`: the most that one in memory may hold. What is there already is left as it is."""
    medium = source.get("medium") or ""
    if medium not in ("", "Memory"):
        raise ValueError(f"emptyDir medium {medium} is not offered on this node")
    if medium == "Memory" and not _is_mount(path):
        limit = source.get("sizeLimit")
        size = min(memory, quantity.whole(limit)) if limit and quantity.whole(limit) else memory
        options = ["-o", f"size={size}"] if size else []
        await _run("mount", "-t", "tmpfs", *options, "tmpfs", str(path))
        _open_to_all(path, group)
    elif medium != "Memory":
        _directory(path, group)
    return path


def _directory(path: Path, group: int | None) -> None:
    """Make it with its rights in one step; one that is there belongs to the containers."""
    if path.is_dir():
        return
    fresh = path.with_name(f"{path.name}~new")
    fresh.mkdir(parents=True, exist_ok=True)
    _open_to_all(fresh, group)
    fresh.rename(path)


def _memory(pod: Obj, facts: PodFacts) -> int:
    """Bytes for a volume in memory: what the pod may use, else what the node can give."""
    own, node = podspec.memory_limit(pod), quantity.whole(facts.allocatable.get("memory") or "0")
    return node if own is None else min(own, node) if node else own


def _is_mount(path: Path) -> bool:
    path.mkdir(parents=True, exist_ok=True)
    return path.is_mount()


def _open_to_all(path: Path, group: int | None) -> None:
    if group is not None:
        os.chown(path, -1, group)
    path.chmod(0o777 if group is None else 0o2777)


def _host_path(source: Obj) -> Path:
    path, kind = Path(source["path"]), source.get("type") or ""
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True, mode=0o755)
        kind = "Directory"
    elif kind == "FileOrCreate":
        with contextlib.suppress(FileExistsError):
            path.touch(mode=0o644, exist_ok=False)
        kind = "File"
    if kind:
        if kind not in HOST_PATH_TYPES:
            raise ValueError(f"unknown hostPath type {kind!r}")
        test, text = HOST_PATH_TYPES[kind]
        if not path.exists() or not test(path.stat().st_mode):
            raise ValueError(f"hostPath type check failed: {path} is not {text}")
    return path


def _mounts_below(base: Path) -> list[str]:
    text = Path("/proc/self/mountinfo").read_text()
    prefix = f"{base}/"
    return sorted(
        (path for line in text.splitlines() if (path := line.split()[4]).startswith(prefix)), reverse=True
    )


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, stderr = await process.communicate()
    if process.returncode:
        raise OSError(f"{command[0]}: {stderr.decode(errors='replace').strip()}")
