"""Finished jobs are deleted after `spec.ttlSecondsAfterFinished` (pkg/controller/ttlafterfinished)."""

from __future__ import annotations

from edgelab.daemon.clock import parse_rfc3339
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.kinds import JOBS
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.kube.informer import Key
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import condition, is_deleting


class TTLAfterFinishedController:
    """A module; its queue holds the keys of jobs."""

    name = "ttl-after-finished-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._jobs = cluster.view(JOBS)
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, [self._jobs], workers=1)
        self._jobs.add_handler(lambda _, __, new: self._queue.add_object(new))

    async def run(self) -> None:
        """Delete jobs whose time has come."""
        await self._queue.run()

    async def _reconcile(self, key: Key) -> float | None:
        job = self._jobs.get(key[1], key[0])
        if job is None or is_deleting(job):
            return None
        lifetime, finished = job["spec"].get("ttlSecondsAfterFinished"), finished_at(job)
        if lifetime is None or finished is None:
            return None
        left = int(lifetime) - (self._cluster.clock.now() - parse_rfc3339(finished)).total_seconds()
        if left > 0:
            return left
        await self._cluster.delete(JOBS, job, "Foreground")
        return None


def finished_at(job: Obj) -> str | None:
    """When a job completed or failed."""
    for kind in ("Complete", "Failed"):
        found = condition(job, kind)
        if found is not None and found["status"] == "True":
            stamp: str = found["lastTransitionTime"]
            return stamp
    return None
