"""Jobs: pods that run to their end (pkg/controller/job).

Receives jobs and pods. Writes pods up to `parallelism`, the counts and conditions of jobs, and
events. Each counted pod carries a finalizer until its outcome is in the job's status, so that an
outcome is neither lost nor counted twice. Indexed jobs give every pod its index.
"""

from __future__ import annotations

import copy

from edgelab.daemon.clock import parse_rfc3339
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.kinds import JOBS
from edgelab.edgesite.controllers.support.pods import from_template, is_active, is_finished, is_ready
from edgelab.edgesite.controllers.support.recorder import Recorder
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.edgesite.controllers.ttl_after_finished import finished_at
from edgelab.kube.informer import Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import PODS
from edgelab.objects.metadata import controller_of, is_deleting
from edgelab.objects.status import ApiError

TRACKING = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
FIRST_BACKOFF, LONGEST_BACKOFF = 10.0, 600.0
BURST = 500


class JobController:
    """A module; its queue holds the keys of jobs."""

    name = "job-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._jobs = cluster.view(JOBS)
        self._pods = cluster.view(PODS)
        self._events = Recorder(cluster.api, cluster.clock, self.name)
        needs = [self._jobs, self._pods]
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, needs)
        self._jobs.add_handler(lambda _, __, new: self._queue.add_object(new))
        self._pods.add_handler(self._on_pod)

    async def run(self) -> None:
        """Run jobs."""
        await self._queue.run()

    def _on_pod(self, event_type: str, old: Obj | None, new: Obj) -> None:
        owner = controller_of(new)
        if owner is not None and owner["kind"] == "Job":
            self._queue.add((new["metadata"]["namespace"], owner["name"]))
        if TRACKING in (new["metadata"].get("finalizers") or ()) and is_deleting(new) and owner is None:
            self._queue.add((new["metadata"]["namespace"], ""))

    async def _reconcile(self, key: Key) -> float | None:
        job = self._jobs.get(key[1], key[0])
        if job is None or is_deleting(job):
            await self._release_all(key)
            return None
        pods = self._pods.owned(job["metadata"]["uid"])
        if finished_at(job):
            await self._release(pods)
            return None
        job = await self._count(job, pods)
        verdict = self._verdict(job)
        active = [pod for pod in pods if is_active(pod)]
        if verdict is not None:
            for pod in active:
                await self._cluster.delete(PODS, pod)
            await self._finish(job, verdict)
            return None
        again = await self._resize(job, active)
        await self._write(job, self._status(job, self._pods.owned(job["metadata"]["uid"])))
        return again

    async def _count(self, job: Obj, pods: list[Obj]) -> Obj:
        """Put the outcomes of finished pods into the status, then let the pods go."""
        finished = [pod for pod in pods if _is_tracked(pod) and (is_finished(pod) or is_deleting(pod))]
        if not finished:
            return job
        status = copy.deepcopy(job.get("status") or {})
        waiting = status.get("uncountedTerminatedPods") or {}
        known = {*(waiting.get("succeeded") or ()), *(waiting.get("failed") or ())}
        fresh = [pod for pod in finished if pod["metadata"]["uid"] not in known]
        if fresh:
            for pod in fresh:
                outcome = "succeeded" if pod["status"].get("phase") == "Succeeded" else "failed"
                status[outcome] = int(status.get(outcome, 0)) + 1
                waiting.setdefault(outcome, []).append(pod["metadata"]["uid"])
                if outcome == "succeeded" and (index := _index(pod)) is not None:
                    status["completedIndexes"] = write_indexes(read_indexes(status) | {index})
            status["uncountedTerminatedPods"] = waiting
            job = await self._write(job, status)
        await self._release(finished)
        status = copy.deepcopy(job.get("status") or {})
        status["uncountedTerminatedPods"] = {}
        return await self._write(job, status)

    async def _release(self, pods: list[Obj]) -> None:
        for pod in pods:
            if not _is_tracked(pod):
                continue
            kept = [name for name in pod["metadata"]["finalizers"] if name != TRACKING]
            patch = {
                "metadata": {
                    "finalizers": kept or None,
                    "resourceVersion": pod["metadata"]["resourceVersion"],
                }
            }
            try:
                await self._cluster.patch(PODS, pod, patch)
            except ApiError as error:
                if error.code != 404:
                    raise

    async def _release_all(self, key: Key) -> None:
        """The job is gone: nobody counts its pods any more."""
        for pod in self._pods.in_namespace(key[0]):
            owner = controller_of(pod)
            mine = owner is None or (owner["kind"] == "Job" and owner["name"] == key[1])
            if mine and _is_tracked(pod):
                await self._release([pod])

    def _verdict(self, job: Obj) -> tuple[str, str, str] | None:
        """Condition, reason and message when the job is over."""
        spec, status = job["spec"], job.get("status") or {}
        failed, succeeded = int(status.get("failed", 0)), int(status.get("succeeded", 0))
        wanted = spec.get("completions")
        if failed > int(spec.get("backoffLimit", 6)):
            return "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit"
        if self._is_overdue(job):
            return "Failed", "DeadlineExceeded", "Job was active longer than specified deadline"
        if wanted is not None and succeeded >= int(wanted):
            return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
        running = [pod for pod in self._pods.owned(job["metadata"]["uid"]) if is_active(pod)]
        if wanted is None and succeeded and not running:
            return "Complete", "CompletionsReached", "Reached expected number of succeeded pods"
        return None

    def _is_overdue(self, job: Obj) -> bool:
        left = self._left(job)
        return left is not None and left <= 0

    def _left(self, job: Obj) -> float | None:
        deadline = job["spec"].get("activeDeadlineSeconds")
        started = (job.get("status") or {}).get("startTime")
        if deadline is None or not started or job["spec"].get("suspend"):
            return None
        return float(deadline) - (self._cluster.clock.now() - parse_rfc3339(started)).total_seconds()

    async def _resize(self, job: Obj, active: list[Obj]) -> float | None:
        """Create or delete pods; gives the seconds after which to look again."""
        spec, status = job["spec"], job.get("status") or {}
        wanted = 0 if spec.get("suspend") else int(spec.get("parallelism", 1))
        completions, succeeded = spec.get("completions"), int(status.get("succeeded", 0))
        if completions is not None:
            wanted = min(wanted, int(completions) - succeeded)
        elif succeeded:
            wanted = min(wanted, len(active))
        for pod in active[wanted:] if wanted >= 0 else active:
            if await self._cluster.delete(PODS, pod):
                await self._events.normal(job, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}")
        missing = wanted - len(active)
        wait = self._backoff(job)
        if missing > 0 and wait > 0:
            return wait
        taken = {_index(pod) for pod in active} | read_indexes(status)
        free = (n for n in range(int(completions or 0)) if n not in taken)
        for _ in range(min(max(0, missing), BURST)):
            index = next(free, None) if spec.get("completionMode") == "Indexed" else None
            made = await self._cluster.create(PODS, job_pod(job, index), job["metadata"]["namespace"])
            await self._events.normal(job, "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")
        return self._left(job)

    def _backoff(self, job: Obj) -> float:
        """Seconds to wait after failures: 10 s, doubling, at most 10 min."""
        failures = int((job.get("status") or {}).get("failed", 0))
        failed = [p for p in self._pods.owned(job["metadata"]["uid"]) if p["status"].get("phase") == "Failed"]
        ends = [parse_rfc3339(end) for pod in failed if (end := _ended(pod))]
        if not failures or not ends:
            return 0.0
        delay: float = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** (failures - 1))
        return delay - (self._cluster.clock.now() - max(ends)).total_seconds()

    def _status(self, job: Obj, pods: list[Obj]) -> Obj:
        status = copy.deepcopy(job.get("status") or {})
        active = [pod for pod in pods if is_active(pod)]
        counts = {
            "active": len(active),
            "ready": sum(1 for pod in active if is_ready(pod)),
            "terminating": sum(1 for pod in pods if is_deleting(pod) and not is_finished(pod)),
        }
        status.setdefault("uncountedTerminatedPods", {})
        if not job["spec"].get("suspend"):
            status.setdefault("startTime", self._cluster.stamp())
        if not counts["active"]:
            status.pop("active", None)
            del counts["active"]
        return status | counts

    async def _finish(self, job: Obj, verdict: tuple[str, str, str]) -> None:
        kind, reason, message = verdict
        now = self._cluster.stamp()
        status = self._status(job, [])
        before = "SuccessCriteriaMet" if kind == "Complete" else "FailureTarget"
        status["conditions"] = [*(status.get("conditions") or [])] + [
            {
                "type": name,
                "status": "True",
                "lastProbeTime": now,
                "lastTransitionTime": now,
                "reason": reason,
                "message": message,
            }
            for name in (before, kind)
        ]
        if kind == "Complete":
            status["completionTime"] = now
        await self._write(job, status)
        if kind == "Complete":
            await self._events.normal(job, "Completed", "Job completed")
        else:
            await self._events.warning(job, reason, message)

    async def _write(self, job: Obj, status: Obj) -> Obj:
        if status == job.get("status"):
            return job
        return await self._cluster.update(JOBS, {**job, "status": status}, "status")


def job_pod(job: Obj, index: int | None) -> Obj:
    """A pod of the job; an indexed one knows its number by annotation, label, name and environment."""
    name, uid = job["metadata"]["name"], job["metadata"]["uid"]
    suffix = f"{index}-" if index is not None else ""
    pod = from_template(job, job["spec"]["template"], generate_name=f"{name}-{suffix}")
    metadata = pod["metadata"]
    metadata["finalizers"] = [*metadata.get("finalizers", ()), TRACKING]
    metadata["labels"] |= {
        "controller-uid": uid,
        "batch.kubernetes.io/controller-uid": uid,
        "job-name": name,
        "batch.kubernetes.io/job-name": name,
    }
    if index is not None:
        metadata.setdefault("annotations", {})[INDEX] = metadata["labels"][INDEX] = str(index)
        pod["spec"]["hostname"] = f"{name}-{index}"
        for container in [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or [])]:
            environment = container.setdefault("env", [])
            if not any(entry["name"] == "JOB_COMPLETION_INDEX" for entry in environment):
                environment.append({"name": "JOB_COMPLETION_INDEX", "value": str(index)})
    return pod


def read_indexes(status: Obj) -> set[int]:
    """`1,3-5` as numbers."""
    found: set[int] = set()
    for part in (status.get("completedIndexes") or "").split(","):
        first, _, last = part.partition("-")
        if first:
            found |= set(range(int(first), int(last or first) + 1))
    return found


def write_indexes(indexes: set[int]) -> str:
    """Numbers as `1,3-5`."""
    parts: list[str] = []
    ordered = sorted(indexes)
    while ordered:
        length = 1
        while length < len(ordered) and ordered[length] == ordered[0] + length:
            length += 1
        first, last = ordered[0], ordered[length - 1]
        parts.append(str(first) if length == 1 else f"{first}{'-' if length > 2 else ','}{last}")
        del ordered[:length]
    return ",".join(parts)


def _is_tracked(pod: Obj) -> bool:
    return TRACKING in (pod["metadata"].get("finalizers") or ())


def _index(pod: Obj) -> int | None:
    value = (pod["metadata"].get("annotations") or {}).get(INDEX, "")
    return int(value) if value.isdigit() else None


def _ended(pod: Obj) -> str | None:
    """When the last container of a finished pod ended."""
    states = [c.get("state", {}).get("terminated", {}) for c in pod["status"].get("containerStatuses") or ()]
    return max((state["finishedAt"] for state in states if state.get("finishedAt")), default=None)
