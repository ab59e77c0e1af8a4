"""Keeps the logs of containers from filling the disk (kubelet `logs/container_log_manager.go`).

    0.log                         what the runtime writes
    0.log.20261121-100000         the one before
    0.log.20261121-095000.gz      older ones

Receives nothing; asks the runtime which containers run, and tells it to reopen a log that was renamed.
Without the runtime nothing is rotated: nobody would write to the new file.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import NoReturn

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.cri.runtime import Runtime
from edgelab.daemon.clock import Clock
from edgelab.edgecore.edged import names

log = logging.getLogger(__name__)


class LogRotation:
    """Rotates logs over `limit` bytes and keeps `files` of each container, looking every `period` seconds."""

    def __init__(
        self, runtime: Runtime, clock: Clock, root: Path, *, limit: int, files: int, period: float
    ) -> None:
        self._runtime = runtime
        self._clock = clock
        self._root = root
        self._limit = limit
        self._files = max(2, files)
        self._period = max(1.0, period)

    async def run(self) -> NoReturn:
        """Look for ever."""
        while True:
            await self._clock.sleep(self._period)
            try:
                await self.look()
            except (RuntimeUnreachable, CriError, OSError) as error:
                log.debug("logs were not rotated: %s", error)

    async def look(self) -> None:
        """Rotate every log that is too long now."""
        for container in await self._runtime.list_containers():
            path = self.path_of(container)
            if container.state == pb.CONTAINER_RUNNING and path is not None and size(path) > self._limit:
                await self._rotate(container.id, path)

    def path_of(self, container: pb.Container) -> Path | None:
        """Where the runtime writes a container's log; None for a container that is not ours."""
        labels = container.labels
        pod = "_".join(labels.get(key, "") for key in (names.POD_NAMESPACE, names.POD_NAME, names.POD_UID))
        name, restarts = labels.get(names.CONTAINER_NAME), container.annotations.get(names.RESTART_COUNT)
        return self._root / pod / name / f"{restarts}.log" if name and restarts else None

    async def _rotate(self, container: str, path: Path) -> None:
        await asyncio.to_thread(tidy, path, self._files - 2)
        moved = rename(path, self._clock.now().strftime("%Y%m%d-%H%M%S"))
        try:
            await self._runtime.reopen_log(container)
        except (RuntimeUnreachable, CriError):
            moved.rename(path)  # the runtime still writes to it
            raise


def size(path: Path) -> int:
    """Bytes of a file; 0 when it is not there."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def rename(path: Path, stamp: str) -> Path:
    """Put a log aside under a name of its own."""
    moved = path.with_name(f"{path.name}.{stamp}")
    return path.rename(moved)


def tidy(path: Path, keep: int) -> None:
    """Compress what was put aside before, and remove all of it but the newest `keep`."""
    import gzip  # noqa: PLC0415 - needed once in a while
    import shutil  # noqa: PLC0415

    for partial in path.parent.glob(f"{path.name}.*.tmp"):
        partial.unlink(missing_ok=True)
    aside = sorted(path.parent.glob(f"{path.name}.*"))
    for outdated in aside[: max(0, len(aside) - keep)]:
        outdated.unlink(missing_ok=True)
    for plain in aside[max(0, len(aside) - keep) :]:
        if plain.suffix == ".gz":
            continue
        partial = plain.with_name(f"{plain.name}.gz.tmp")
        with plain.open("rb") as source, gzip.open(partial, "wb", compresslevel=6) as target:
            shutil.copyfileobj(source, target)
        os.replace(partial, plain.with_name(f"{plain.name}.gz"))
        plain.unlink()
