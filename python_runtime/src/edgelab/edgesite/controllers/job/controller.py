"""The controller: which jobs to look at, and what happens to pods whose job is gone.

Receives jobs and pods. Writes pods up to `parallelism`, the counts and conditions of jobs, and events.
"""

from __future__ import annotations

from edgelab.edgesite.controllers.job import backoff
from edgelab.edgesite.controllers.job.look import Look
from edgelab.edgesite.controllers.job.pods import TRACKING, is_tracked
from edgelab.edgesite.controllers.job.state import State
from edgelab.edgesite.controllers.support.adoption import claim
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.kinds import JOBS
from edgelab.edgesite.controllers.support.owners import watch_owned
from edgelab.edgesite.controllers.support.pods import is_active
from edgelab.edgesite.controllers.support.recorder import Recorder
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.edgesite.controllers.ttl_after_finished import finished_at
from edgelab.kube.informer import DELETED, Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import PODS
from edgelab.objects.metadata import controller_of
from edgelab.objects.status import ApiError

OURS = "kubernetes.io/job-controller"


class JobController:
    """A module; its queue holds the keys of jobs; an empty name stands for pods that belong to none."""

    name = "job-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._jobs = cluster.view(JOBS)
        self._pods = cluster.view(PODS)
        self._records: dict[Key, backoff.Record] = {}
        self._events = Recorder(cluster.api, cluster.clock, self.name)
        needs = [self._jobs, self._pods]
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, needs)
        self._jobs.add_handler(lambda _, __, new: self._queue.add_object(new))
        watch_owned(self._pods, self._jobs, "Job", self._queue)
        self._pods.add_handler(self._on_orphan)

    async def run(self) -> None:
        """Run jobs."""
        await self._queue.run()

    def _on_orphan(self, event_type: str, old: Obj | None, new: Obj) -> None:
        if event_type != DELETED and is_tracked(new) and controller_of(new) is None:
            self._queue.add((new["metadata"]["namespace"], ""))

    async def _reconcile(self, key: Key) -> float | None:
        job = self._jobs.get(key[1], key[0])
        if job is None:
            self._records.pop(key, None)
            await self._release_orphans(key)
            return None
        if job["spec"].get("managedBy", OURS) != OURS:
            return None
        if finished_at(job):
            self._records.pop(key, None)
            for pod in self._pods.owned(job["metadata"]["uid"]):
                await self._release(pod)
            return None
        pods = await self._claim(job)
        state = State(job, pods, self._cluster.clock.now())
        record = self._records.get(key, backoff.Record()).after(state.fresh_succeeded, state.fresh_failed)
        if record.failures:
            self._records[key] = record
        else:
            self._records.pop(key, None)
        look = Look(self._cluster, self._events, state, self._write, self._release)
        return await look.run(record)

    async def _claim(self, job: Obj) -> list[Obj]:
        """The job's pods; adopted ones are tracked from now on."""
        if not job["spec"].get("manualSelector"):
            return self._pods.owned(job["metadata"]["uid"])
        pods = await claim(self._cluster, PODS, job, self._pods.claimable(job))
        found = []
        for pod in pods:
            if not is_tracked(pod) and is_active(pod):
                finalizers = [*(pod["metadata"].get("finalizers") or ()), TRACKING]
                version = pod["metadata"]["resourceVersion"]
                patch = {"metadata": {"finalizers": finalizers, "resourceVersion": version}}
                found.append(await self._cluster.patch(PODS, pod, patch))
            else:
                found.append(pod)
        return found

    async def _release(self, pod: Obj) -> None:
        """Let the pod go; it may have changed since it was looked at."""
        present = self._pods.get(pod["metadata"]["name"], pod["metadata"]["namespace"])
        if present is None or present["metadata"]["uid"] != pod["metadata"]["uid"] or not is_tracked(present):
            return
        pod = present
        kept = [name for name in pod["metadata"]["finalizers"] if name != TRACKING]
        version = pod["metadata"]["resourceVersion"]
        patch = {"metadata": {"finalizers": kept or None, "resourceVersion": version}}
        try:
            await self._cluster.patch(PODS, pod, patch)
        except ApiError as error:
            if error.code != 404:
                raise

    async def _release_orphans(self, key: Key) -> None:
        """The job is gone: nobody counts its pods any more."""
        for pod in self._pods.in_namespace(key[0]):
            owner = controller_of(pod)
            if owner is None or (owner["kind"] == "Job" and owner["name"] == key[1]):
                await self._release(pod)

    async def _write(self, job: Obj) -> Obj:
        stored = self._jobs.get(job["metadata"]["name"], job["metadata"]["namespace"])
        if stored is not None and stored.get("status") == job["status"]:
            return job
        return await self._cluster.update(JOBS, job, "status")
