"""What pods leave behind: containers and sandboxes of pods that have ended, and logs of pods that are gone.

Kubelet `kuberuntime/kuberuntime_gc.go`. Each removal is by the runtime's word: what runs is never touched.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.runtime import Runtime
from edgelab.daemon.clock import Clock
from edgelab.edgecore.edged import names

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Policy:
    """`per_container` dead ones of each container of a pod stay, `total` at most of all; -1 means any number.

    `minimum_age` in seconds: younger dead containers are left for whoever reads their logs.
    """

    per_container: int
    total: int
    minimum_age: float


class Leftovers:
    """`ended(uid)` tells whether a pod has ended for good or is unknown here."""

    def __init__(
        self, runtime: Runtime, clock: Clock, policy: Policy, logs: Path, *, ended: Callable[[str], bool]
    ) -> None:
        self._runtime = runtime
        self._clock = clock
        self._policy = policy
        self._logs = logs
        self._ended = ended

    async def collect(self, *, ended_pods: bool = False) -> int:
        """Remove dead containers beyond the policy, with `ended_pods` all those of pods that have ended.

        Gives how many went. Raises RuntimeUnreachable and CriError.
        """
        youngest = (self._clock.now().timestamp() - self._policy.minimum_age) * 1e9
        dead: dict[tuple[str, str], list[pb.Container]] = defaultdict(list)
        for container in await self._runtime.list_containers():
            uid = container.labels.get(names.POD_UID)
            if uid and container.state == pb.CONTAINER_EXITED and container.created_at <= youngest:
                dead[uid, container.labels.get(names.CONTAINER_NAME, "")].append(container)
        going: list[pb.Container] = []
        staying: list[pb.Container] = []
        for (uid, _), containers in dead.items():
            containers.sort(key=lambda container: container.created_at, reverse=True)
            kept = len(containers) if self._policy.per_container < 0 else self._policy.per_container
            kept = 0 if ended_pods and self._ended(uid) else kept
            staying += containers[:kept]
            going += containers[kept:]
        if 0 <= self._policy.total < len(staying):
            staying.sort(key=lambda container: container.created_at)
            going += staying[: len(staying) - self._policy.total]
        for container in going:
            await self._remove(container)
        return len(going)

    async def remove_logs(self, known: Collection[str]) -> list[str]:
        """Remove the log directories of pods that are neither in `known` (uids) nor in the runtime."""
        if not self._logs.is_dir():
            return []
        there = {sandbox.labels.get(names.POD_UID) for sandbox in await self._runtime.list_sandboxes()}
        gone = [
            path
            for path in self._logs.iterdir()
            if path.name.count("_") == 2 and (uid := path.name.rpartition("_")[2]) not in there
            if uid not in known
        ]
        for path in gone:
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
        return [path.name for path in gone]

    async def _remove(self, container: pb.Container) -> None:
        labels = container.labels
        await self._runtime.remove_container(container.id)
        restarts = container.annotations.get(names.RESTART_COUNT, "")
        pod = "_".join(labels.get(key, "") for key in (names.POD_NAMESPACE, names.POD_NAME, names.POD_UID))
        directory = self._logs / pod / labels.get(names.CONTAINER_NAME, "")
        if restarts:
            for path in directory.glob(f"{restarts}.log*"):
                path.unlink(missing_ok=True)
