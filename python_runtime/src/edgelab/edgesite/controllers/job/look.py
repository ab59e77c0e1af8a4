"""One look at one job: makes and removes pods, counts their ends, ends the job."""

from __future__ import annotations

from edgelab.edgesite.controllers.job import backoff, indexes, policies, verdict
from edgelab.edgesite.controllers.job.pods import is_indexed, new_pod
from edgelab.edgesite.controllers.job.state import State
from edgelab.edgesite.controllers.job.tracking import Release, Tracking, Write
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.pods import deletion_order, is_ready
from edgelab.edgesite.controllers.support.recorder import Recorder
from edgelab.kube.interface import Obj
from edgelab.kube.resources import PODS
from edgelab.objects.metadata import is_deleting
from edgelab.objects.status import ApiError

BURST = 500


class Look:
    """`write` writes the job's status, `release` takes the finalizer off a pod."""

    def __init__(
        self, cluster: Cluster, events: Recorder, state: State, write: Write, release: Release
    ) -> None:
        self._cluster = cluster
        self._events = events
        self._state = state
        self._write = write
        self._release = release
        self._record = backoff.Record()
        self._running = len(state.active)
        self._again: float | None = None

    async def run(self, record: backoff.Record) -> float | None:
        """Do what can be done now; gives the seconds after which to look again."""
        state, self._record = self._state, record
        if not state.suspended:
            state.status.setdefault("startTime", self._cluster.stamp())
        ending = verdict.decide(state)
        failure: ApiError | None = None
        try:
            if ending is not None:
                await self._remove(state.active)
            else:
                if not is_deleting(state.job):
                    await self._manage()
                if verdict.is_complete(state, self._running):
                    ending = verdict.completed(state)
                elif not is_deleting(state.job):
                    await self._note_suspension()
        except ApiError as error:
            failure = error
            ending = None
        await self._report(ending)
        if failure is not None:
            raise failure
        self._look_again(verdict.seconds_left(state))
        return self._again

    async def _report(self, ending: Obj | None) -> None:
        state = self._state
        counts = {"active": self._running, "ready": state.ready, "terminating": state.terminating}
        state.status.update(counts)
        if not self._running:
            del state.status["active"]
        tracking = Tracking(state, ending, self._write, self._release)
        ended = await tracking.run()
        if ended is None:
            return
        job = state.job
        if ended["type"] != "Complete":
            await self._events.warning(job, ended["reason"], ended["message"])
            return
        if state.completions is not None and job["status"].get("succeeded", 0) > int(state.completions):
            text = "Too many succeeded pods running after completion count reached"
            await self._events.warning(job, "TooManySucceededPods", text)
        await self._events.normal(job, "Completed", "Job completed")

    def _look_again(self, seconds: float | None) -> None:
        if seconds is not None and seconds > 0:
            self._again = min(seconds, self._again) if self._again is not None else seconds

    async def _note_suspension(self) -> None:
        state = self._state
        if state.suspended:
            if state.ensure(state.new_condition("Suspended", "JobSuspended", "Job suspended")):
                await self._events.normal(state.job, "Suspended", "Job suspended")
        elif state.ensure(state.new_condition("Suspended", "JobResumed", "Job resumed", "False")):
            await self._events.normal(state.job, "Resumed", "Job resumed")
            state.status["startTime"] = self._cluster.stamp()

    async def _manage(self) -> None:
        """Make or remove pods."""
        state, active = self._state, self._state.active
        wanted = 0 if state.suspended else self._wanted()
        surplus = active if state.suspended else self._surplus(len(active) - wanted)
        if surplus:
            for pod in surplus[:BURST]:
                await self._release(pod)
            await self._remove(surplus[:BURST])
            return
        ending = state.terminating if policies.only_replaces_failed(state.job) else 0
        missing = min(wanted - ending - len(active), BURST)
        if missing <= 0:
            return
        wait = 0.0
        if "backoffLimitPerIndex" not in state.job["spec"]:
            wait = self._record.wait(state.now)
        if wait > 0:
            self._look_again(wait)
            return
        for index in self._indexes(missing) if is_indexed(state.job) else [None] * missing:
            await self._create(index)

    def _wanted(self) -> int:
        state, parallelism = self._state, int(self._state.job["spec"].get("parallelism", 1))
        if state.completions is None:
            return len(state.active) if state.succeeded else parallelism
        return max(0, min(int(state.completions) - state.succeeded, parallelism))

    def _surplus(self, count: int) -> list[Obj]:
        """Pods to remove: those whose index is wrong or taken, then the least useful."""
        chosen: list[Obj] = []
        left = deletion_order(self._state.active)
        if is_indexed(self._state.job):
            last = {self._state.index(pod): pod for pod in left}
            last.pop(None, None)
            chosen = [pod for pod in left if last.get(self._state.index(pod)) is not pod]
            left = [pod for pod in left if last.get(self._state.index(pod)) is pod]
        return chosen + left[: max(0, count - len(chosen))]

    def _indexes(self, count: int) -> list[int]:
        """The next free indexes whose time has come."""
        state = self._state
        taken = {indexes.of(pod) for pod in state.active} | state.done | (state.lost or set())
        if policies.only_replaces_failed(state.job):
            taken |= {indexes.of(pod) for pod in state.pods if is_deleting(pod)}
        free = indexes.pending({n for n in taken if n is not None}, state.limit, count)
        waits = {number: backoff.wait_for_index(state.replaced.get(number), state.now) for number in free}
        due = [number for number in free if not waits[number]]
        if free and not due:
            self._look_again(min(waits.values()))
        return due

    async def _create(self, index: int | None) -> None:
        job = self._state.job
        replaced = self._state.replaced.get(index) if index is not None else None
        try:
            made = await self._cluster.create(
                PODS, new_pod(job, index, replaced), job["metadata"]["namespace"]
            )
        except ApiError as error:
            if error.code == 403 and "being terminated" in error.message:
                return
            await self._events.warning(job, "FailedCreate", f"Error creating: {error.message}")
            raise
        self._running += 1
        await self._events.normal(job, "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")

    async def _remove(self, pods: list[Obj]) -> None:
        for pod in pods:
            name = pod["metadata"]["name"]
            try:
                deleted = await self._cluster.delete(PODS, pod)
            except ApiError as error:
                await self._events.warning(
                    self._state.job, "FailedDelete", f"Error deleting: {error.message}"
                )
                raise
            self._running -= 1
            self._state.terminating += 1
            self._state.ready -= is_ready(pod)
            if deleted:
                await self._events.normal(self._state.job, "SuccessfulDelete", f"Deleted pod: {name}")
