"""One look at one StatefulSet: which pods to make, mend and delete now, and what to report.

Ordered sets move one pod at a time and wait for each to be available; parallel ones do not wait.
Fact: pkg/controller/statefulset/stateful_set_control.go.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from edgelab.edgesite.controllers.deployment.rollout import portion
from edgelab.edgesite.controllers.statefulset import identity
from edgelab.edgesite.controllers.statefulset.actions import Actions
from edgelab.edgesite.controllers.support.history import template_of
from edgelab.edgesite.controllers.support.pods import available_in, is_finished, is_ready
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import is_deleting


class Update:
    """`current` and `update` are the revisions that old and new pods are made from."""

    def __init__(
        self, actions: Actions, stateful_set: Obj, revisions: tuple[Obj, Obj], now: dt.datetime
    ) -> None:
        self._actions = actions
        self._set = stateful_set
        self._current, self._update = revisions
        self._now = now
        self._minimum = int(stateful_set["spec"].get("minReadySeconds", 0))
        self._ordered = stateful_set["spec"].get("podManagementPolicy") != "Parallel"
        self._first_unavailable: Obj | None = None
        self.status: Obj = {}

    async def run(self, pods: list[Obj], collisions: int) -> None:
        """Do what can be done now; `status` is to be written also when this raises."""
        self.status = {
            "observedGeneration": self._set["metadata"].get("generation", 1),
            "currentRevision": self._current["metadata"]["name"],
            "updateRevision": self._update["metadata"]["name"],
            "collisionCount": collisions,
        }
        self._count(pods)
        replicas, condemned = self._sort(pods)
        if is_deleting(self._set):
            return
        try:
            stopped = await self._keep(replicas)
            stopped = stopped or await self._give_up(condemned)
        finally:
            self._count([*replicas, *condemned])
        if not stopped:
            await self._replace(replicas)

    def _sort(self, pods: list[Obj]) -> tuple[list[Obj], list[Obj]]:
        """The pods that belong to the set, made up where they are missing, and those beyond its size."""
        wanted = identity.ordinals(self._set)
        by_number = {identity.ordinal(pod): pod for pod in pods}
        replicas = [by_number.get(number) or self._new(number) for number in wanted]
        condemned = [pod for pod in pods if identity.ordinal(pod) >= 0]
        condemned = [pod for pod in condemned if identity.ordinal(pod) not in wanted]
        condemned.sort(key=identity.ordinal, reverse=True)
        in_order = [*replicas, *reversed(condemned)]
        self._first_unavailable = next((pod for pod in in_order if self._is_unavailable(pod)), None)
        return replicas, condemned

    def _new(self, number: int) -> Obj:
        """Pods below the partition stay at the current revision."""
        strategy = self._set["spec"].get("updateStrategy") or {}
        staying = int((strategy.get("rollingUpdate") or {}).get("partition") or 0)
        if strategy.get("type") == "RollingUpdate" and "rollingUpdate" not in strategy:
            staying = int((self._set.get("status") or {}).get("currentReplicas", 0))
        old = number < identity.ordinals(self._set).start + staying
        revision = self._current if old else self._update
        return identity.new_pod(self._set, template_of(revision), number, revision["metadata"]["name"])

    async def _keep(self, replicas: list[Obj]) -> bool:
        """Make and mend the pods that belong to the set. True: wait before doing anything else."""
        for pod in replicas:
            if await self._process(pod) and self._ordered:
                return True
        return False

    async def _process(self, pod: Obj) -> bool:
        """True: an ordered set waits for this pod."""
        if is_finished(pod):
            if not is_deleting(pod):
                await self._actions.delete(pod)
            return True
        if not _is_created(pod):
            if not self._actions.has_stale_claims(pod):
                await self._actions.create(pod)
            return True
        if (pod.get("status") or {}).get("phase") == "Pending":
            await self._actions.complete_claims(pod)
        if self._ordered and self._is_unavailable(pod):
            return True
        right = identity.identity_matches(self._set, pod) and identity.storage_matches(self._set, pod)
        if not right or not self._actions.claims_are_right(pod):
            await self._actions.restore(pod)
        return False

    async def _give_up(self, condemned: list[Obj]) -> bool:
        """Delete the pods beyond the set's size, the last first. True: wait."""
        for pod in condemned:
            if not self._actions.claims_are_right(pod):
                await self._actions.own_claims(pod)
        for pod in condemned:
            if is_deleting(pod):
                if self._ordered:
                    return True
                continue
            if self._ordered and self._is_unavailable(pod) and pod is not self._first_unavailable:
                return True
            await self._actions.delete(pod)
            if self._ordered:
                return True
        return False

    async def _replace(self, replicas: list[Obj]) -> None:
        """Delete pods of another revision, the last first, as far as `maxUnavailable` allows."""
        strategy = self._set["spec"].get("updateStrategy") or {}
        if strategy.get("type") == "OnDelete":
            return
        rolling = strategy.get("rollingUpdate") or {}
        allowed = max(1, portion(rolling.get("maxUnavailable", 1), len(replicas), up=False))
        allowed -= sum(1 for pod in replicas if self._is_unavailable(pod))
        name = self._update["metadata"]["name"]
        for pod in reversed(replicas[int(rolling.get("partition") or 0) :]):
            if allowed <= 0:
                return
            if identity.revision(pod) != name and not is_deleting(pod):
                await self._actions.delete(pod)
                self.status["currentReplicas"] = self.status.get("currentReplicas", 0) - 1
                allowed -= 1

    def _is_unavailable(self, pod: Obj) -> bool:
        return is_deleting(pod) or not self._is_available(pod)

    def _is_available(self, pod: Obj) -> bool:
        return available_in(pod, self._minimum, self._now) == 0.0

    def _count(self, pods: Iterable[Obj]) -> None:
        created = [pod for pod in pods if _is_created(pod)]
        ready = [pod for pod in created if pod["status"]["phase"] == "Running" and is_ready(pod)]
        made_from = [identity.revision(pod) for pod in created if not is_deleting(pod)]
        self.status |= {
            "replicas": len(created),
            "readyReplicas": len(ready),
            "availableReplicas": sum(1 for pod in ready if self._is_available(pod)),
            "currentReplicas": made_from.count(self.status["currentRevision"]),
            "updatedReplicas": made_from.count(self.status["updateRevision"]),
        }


def _is_created(pod: Obj) -> bool:
    """Whether the API server has it."""
    return bool((pod.get("status") or {}).get("phase"))
