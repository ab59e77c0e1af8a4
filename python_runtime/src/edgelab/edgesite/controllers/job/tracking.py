"""Counting the ends of pods so that none is lost and none counted twice.

First the uids of ended pods go into the status, then the pods lose the finalizer that kept them, then
the counters are raised and the uids taken out. A crash at any point leaves a state from which the next
look goes on. Fact: `trackJobStatusAndRemoveFinalizers`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from edgelab.edgesite.controllers.job import indexes, policies
from edgelab.edgesite.controllers.job.pods import is_indexed, is_tracked
from edgelab.edgesite.controllers.job.state import UNCOUNTED, State, has_succeeded
from edgelab.edgesite.controllers.job.verdict import MET, TARGET
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import is_deleting

MOST_AT_ONCE = 500
Write = Callable[[Obj], Awaitable[Obj]]
"""Writes the job's status; gives the job as it is then."""
Release = Callable[[Obj], Awaitable[None]]
"""Takes the finalizer off a pod."""


class Tracking:
    """The bookkeeping at the end of one look; `ending` is the condition that ends the job."""

    def __init__(self, state: State, ending: Obj | None, write: Write, release: Release) -> None:
        self._state = state
        self._ending = ending
        self._write = write
        self._release = release
        self._full = False

    async def run(self) -> Obj | None:
        """Write all down; the final condition when the job has just ended."""
        self._forget_released({pod["metadata"]["uid"] for pod in self._state.pods if is_tracked(pod)})
        released = self._collect()
        self._write_indexes()
        self._announce()
        await self._flush()
        for pod in released:
            await self._release(pod)
        kept = {pod["metadata"]["uid"] for pod in self._state.pods if is_tracked(pod)}
        self._forget_released(kept - {pod["metadata"]["uid"] for pod in released})
        ended = self._finish()
        await self._flush()
        return ended

    async def _flush(self) -> None:
        """Keep the version that the server has now, for the next write."""
        self._state.job = {**await self._write(self._state.job)}
        self._state.job["status"] = dict(self._state.job.get("status") or {})

    def _waiting(self) -> Obj:
        waiting: Obj = self._state.status.setdefault(UNCOUNTED, {})
        return waiting

    def _forget_released(self, tracked: set[str]) -> None:
        """Raise the counters by the pods that no longer have the finalizer."""
        status, waiting = self._state.status, dict(self._waiting())
        for name in ("succeeded", "failed"):
            uids = waiting.pop(name, None) or []
            left = [uid for uid in uids if uid in tracked]
            if len(left) < len(uids):
                status[name] = int(status.get(name, 0)) + len(uids) - len(left)
            if left:
                waiting[name] = left
        status[UNCOUNTED] = waiting

    def _collect(self) -> list[Obj]:
        """Enter the ended pods; gives those that may lose their finalizer."""
        released: list[Obj] = []
        for pod in self._state.pods:
            if not is_tracked(pod) or not self._may_go(pod):
                continue
            released.append(pod)
            self._enter(pod)
            waiting = self._waiting()
            if sum(map(len, waiting.values())) >= MOST_AT_ONCE:
                self._full = True
                break
        return released

    def _may_go(self, pod: Obj) -> bool:
        state = self._state
        if is_deleting(state.job) or self._ending is not None or has_succeeded(pod):
            return True
        if not policies.has_failed(state.job, pod):
            return False
        number = state.index(pod)
        return number is None or state.replaced.get(number) is not pod

    def _enter(self, pod: Obj) -> None:
        state, uid = self._state, pod["metadata"]["uid"]
        indexed, number = is_indexed(state.job), state.index(pod)
        if has_succeeded(pod) and uid not in state.uncounted["failed"]:
            if not indexed and uid not in state.uncounted["succeeded"]:
                self._waiting().setdefault("succeeded", []).append(uid)
            return
        gives_up = self._ending is not None and self._ending["type"] not in (MET, "Complete")
        if not (policies.has_failed(state.job, pod) or gives_up) or uid in state.uncounted["failed"]:
            return
        if (not indexed or number is not None) and policies.judge(state.job, pod).counts:
            self._waiting().setdefault("failed", []).append(uid)

    def _write_indexes(self) -> None:
        state = self._state
        if not is_indexed(state.job):
            return
        for name, found in (("succeeded", len(state.done)), ("completedIndexes", indexes.write(state.done))):
            state.status.pop(name, None)
            if found:
                state.status[name] = found
        if state.lost is not None:
            state.status["failedIndexes"] = indexes.write(state.lost)

    def _announce(self) -> None:
        """The condition that says how the job will end goes before the end itself."""
        ending, state = self._ending, self._state
        if ending is None or ending["type"] not in (MET, TARGET):
            return
        if state.condition(ending["type"]) is None:
            state.status["conditions"] = [*(state.status.get("conditions") or ()), ending]
        final = "Complete" if ending["type"] == MET else "Failed"
        self._ending = state.new_condition(final, ending["reason"], ending["message"])

    def _finish(self) -> Obj | None:
        """End the job unless pods are still to be counted or to stop."""
        if self._ending is None or self._full or self._state.terminating or any(self._waiting().values()):
            return None
        self._state.status["conditions"] = list(self._state.status.get("conditions") or ())
        self._state.ensure(self._ending)
        if self._ending["type"] == "Complete":
            self._state.status["completionTime"] = self._ending["lastTransitionTime"]
        return self._ending
