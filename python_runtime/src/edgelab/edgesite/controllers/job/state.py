"""What one look at a job starts from: its pods, sorted, and what of them is not counted yet."""

from __future__ import annotations

import copy
import datetime as dt

from edgelab.daemon.clock import rfc3339
from edgelab.edgesite.controllers.job import backoff, indexes, policies
from edgelab.edgesite.controllers.job.pods import is_indexed, is_tracked
from edgelab.edgesite.controllers.support.pods import is_active, is_finished, is_ready
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import is_deleting

UNCOUNTED = "uncountedTerminatedPods"


class State:
    """A job with the status that is being made for it."""

    def __init__(self, job: Obj, pods: list[Obj], now: dt.datetime) -> None:
        self.job = {**job, "status": copy.deepcopy(job.get("status") or {})}
        self.now = now
        self.pods = sorted(pods, key=_place)
        self.active = [pod for pod in self.pods if is_active(pod)]
        self.ready = sum(1 for pod in self.active if is_ready(pod))
        self.terminating = sum(1 for pod in self.pods if is_deleting(pod) and not is_finished(pod))
        self.completions: int | None = job["spec"].get("completions")
        waiting = self.status.get(UNCOUNTED) or {}
        self.uncounted = {name: set(waiting.get(name) or ()) for name in ("succeeded", "failed")}
        self.fresh_succeeded = self._fresh("succeeded")
        self.fresh_failed = self._fresh("failed")
        counted = [pod for pod in self.fresh_failed if policies.judge(job, pod).counts]
        self.succeeded = self._total("succeeded") + len(self.fresh_succeeded)
        self.failed = self._total("failed") + len(counted)
        self.before = indexes.read(self.status.get("completedIndexes"), self.limit)
        self.done = set(self.before)
        self.lost: set[int] | None = None
        self.replaced: dict[int, Obj] = {}
        """By index: the last failed pod, kept until its successor carries its failures on."""
        if is_indexed(job):
            self._count_indexes()

    @property
    def status(self) -> Obj:
        """The status as it is to be written."""
        status: Obj = self.job["status"]
        return status

    @property
    def limit(self) -> int:
        """Indexes are below this number."""
        return int(self.completions or 0)

    @property
    def suspended(self) -> bool:
        """Whether the job rests."""
        return bool(self.job["spec"].get("suspend"))

    def index(self, pod: Obj) -> int | None:
        """The pod's index, if it is a valid one."""
        found = indexes.of(pod)
        return found if found is not None and found < self.limit else None

    def _total(self, name: str) -> int:
        return int(self.status.get(name, 0)) + len(self.uncounted[name])

    def _fresh(self, name: str) -> list[Obj]:
        """Pods that have ended so and are not in the status yet."""
        found = []
        for pod in self.pods:
            if not is_tracked(pod) or pod["metadata"]["uid"] in self.uncounted[name]:
                continue
            if is_indexed(self.job) and self.index(pod) is None:
                continue
            if has_succeeded(pod) if name == "succeeded" else policies.has_failed(self.job, pod):
                found.append(pod)
        return found

    def _count_indexes(self) -> None:
        self.done |= {n for pod in self.fresh_succeeded if (n := self.index(pod)) is not None}
        self.succeeded = len(self.done)
        if "backoffLimitPerIndex" not in self.job["spec"]:
            return
        allowed = int(self.job["spec"]["backoffLimitPerIndex"])
        self.lost = indexes.read(self.status.get("failedIndexes"), self.limit)
        failed = [pod for pod in self.pods if is_tracked(pod) and policies.has_failed(self.job, pod)]
        for pod in failed:
            verdict, number = policies.judge(self.job, pod), self.index(pod)
            over = verdict.counts and backoff.failures_of(pod) >= allowed
            if number is not None and (over or verdict.action == "FailIndex"):
                self.lost.add(number)
        running = {self.index(pod) for pod in self.active}
        for pod in failed:
            number = self.index(pod)
            if number is None or number in self.done | self.lost | running:
                continue
            known = self.replaced.get(number)
            if known is None or _tries(known) <= _tries(pod):
                self.replaced[number] = pod

    def condition(self, kind: str) -> Obj | None:
        """A condition that is true."""
        conditions = self.status.get("conditions") or ()
        return next((c for c in conditions if c["type"] == kind and c["status"] == "True"), None)

    def new_condition(self, kind: str, reason: str, message: str, status: str = "True") -> Obj:
        """A condition as of now."""
        now = rfc3339(self.now)
        return {
            "type": kind,
            "status": status,
            "lastProbeTime": now,
            "lastTransitionTime": now,
            "reason": reason,
            "message": message,
        }

    def ensure(self, wanted: Obj) -> bool:
        """Put a condition in; a false one only where it was there. True if that changes anything."""
        conditions = self.status.setdefault("conditions", [])
        for position, present in enumerate(conditions):
            if present["type"] != wanted["type"]:
                continue
            same = all(present.get(name) == wanted[name] for name in ("status", "reason", "message"))
            if not same:
                conditions[position] = wanted
            return not same
        if wanted["status"] == "False":
            if not conditions:
                del self.status["conditions"]
            return False
        conditions.append(wanted)
        return True


def has_succeeded(pod: Obj) -> bool:
    """Whether it ran to its end."""
    return (pod.get("status") or {}).get("phase") == "Succeeded"


def _tries(pod: Obj) -> tuple[int, dt.datetime]:
    return backoff.failures_of(pod) + backoff.ignored_of(pod), backoff.ended_at(pod)


def _place(pod: Obj) -> tuple[int, str, str]:
    metadata = pod["metadata"]
    number = indexes.of(pod)
    return -1 if number is None else number, metadata.get("creationTimestamp", ""), metadata["name"]
