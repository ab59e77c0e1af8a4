"""The controller: finds the revisions and pods of a StatefulSet, moves it on, reports.

Receives StatefulSets, pods, claims and revisions. Writes pods, PersistentVolumeClaims,
ControllerRevisions, the StatefulSets' status and events.
"""

from __future__ import annotations

from edgelab.edgesite.controllers.statefulset import identity
from edgelab.edgesite.controllers.statefulset.actions import Actions
from edgelab.edgesite.controllers.statefulset.update import Update
from edgelab.edgesite.controllers.support.adoption import claim
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.history import (
    HASH_LABEL,
    History,
    hash_of,
    number_of,
    patch_of,
    revision_object,
)
from edgelab.edgesite.controllers.support.kinds import STATEFUL_SETS
from edgelab.edgesite.controllers.support.owners import watch_owned
from edgelab.edgesite.controllers.support.pods import available_in
from edgelab.edgesite.controllers.support.recorder import Recorder
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.kube.informer import Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import PERSISTENT_VOLUME_CLAIMS, PODS

COUNTED = (
    "replicas",
    "readyReplicas",
    "currentReplicas",
    "updatedReplicas",
    "availableReplicas",
    "currentRevision",
    "updateRevision",
)
ALWAYS = ("replicas", "availableReplicas", "collisionCount", "observedGeneration")
"""Written also when they are 0."""
LONGEST_PREFIX = 223
"""So much of a set's name is in the names of its revisions."""


class StatefulSetController:
    """A module; its queue holds the keys of StatefulSets."""

    name = "statefulset-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._sets = cluster.view(STATEFUL_SETS)
        self._pods = cluster.view(PODS)
        self._history = History(cluster)
        self._events = Recorder(cluster.api, cluster.clock, self.name)
        needs = [self._sets, self._pods, self._history.view, cluster.view(PERSISTENT_VOLUME_CLAIMS)]
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, needs)
        self._sets.add_handler(lambda _, __, new: self._queue.add_object(new))
        watch_owned(self._pods, self._sets, "StatefulSet", self._queue)

    async def run(self) -> None:
        """Keep every StatefulSet at its size and revision."""
        await self._queue.run()

    async def _reconcile(self, key: Key) -> float | None:
        stateful_set = self._sets.get(key[1], key[0])
        if stateful_set is None:
            return None
        revisions = await self._history.of(stateful_set)
        pods = await claim(
            self._cluster,
            PODS,
            stateful_set,
            self._pods.claimable(stateful_set),
            fits=lambda pod: identity.is_member(stateful_set, pod),
        )
        current, update, collisions = await self._revisions(stateful_set, revisions)
        actions = Actions(self._cluster, self._events, stateful_set)
        now = self._cluster.clock.now()
        work = Update(actions, stateful_set, (current, update), now)
        try:
            await work.run(pods, collisions)
        finally:
            await self._report(stateful_set, work.status)
            live = {current["metadata"]["name"], update["metadata"]["name"]}
            await self._history.truncate(stateful_set, revisions, live | set(map(identity.revision, pods)))
        minimum = int(stateful_set["spec"].get("minReadySeconds", 0))
        return min((wait for pod in pods if (wait := available_in(pod, minimum, now))), default=None)

    async def _revisions(self, stateful_set: Obj, revisions: list[Obj]) -> tuple[Obj, Obj, int]:
        """The revision that pods were made from, the one for the present template, and collisions so far."""
        status = stateful_set.get("status") or {}
        collisions = int(status.get("collisionCount", 0))
        data = patch_of(stateful_set)
        number = number_of(revisions[-1]) + 1 if revisions else 1
        equal = [revision for revision in revisions if revision["data"] == data]
        if equal and equal[-1] is revisions[-1]:
            update = equal[-1]
        elif equal:
            update = await self._history.renumber(equal[-1], number)
        else:
            update, collisions = await self._new_revision(stateful_set, data, number, collisions)
        named = status.get("currentRevision")
        current = next((r for r in revisions if r["metadata"]["name"] == named), update)
        return current, update, collisions

    async def _new_revision(
        self, stateful_set: Obj, data: Obj, number: int, collisions: int
    ) -> tuple[Obj, int]:
        prefix = stateful_set["metadata"]["name"][:LONGEST_PREFIX]
        marks = (stateful_set["spec"]["template"].get("metadata") or {}).get("labels") or {}
        digest = hash_of(data, collisions)
        made = revision_object(stateful_set, data, number, {**marks, HASH_LABEL: digest})
        return await self._history.create(made, collisions, lambda count: f"{prefix}-{hash_of(data, count)}")

    async def _report(self, stateful_set: Obj, status: Obj) -> None:
        """Write the status if it has changed; a finished rollout makes its revision the current one."""
        old, wanted = stateful_set.get("status") or {}, int(stateful_set["spec"].get("replicas", 1))
        strategy = (stateful_set["spec"].get("updateStrategy") or {}).get("type")
        counts = {status[name] for name in ("updatedReplicas", "readyReplicas", "replicas")}
        if strategy == "RollingUpdate" and counts == {wanted}:
            status |= {"currentReplicas": wanted, "currentRevision": status["updateRevision"]}
        same = all(status[name] == old.get(name, 0 if name.endswith("Replicas") else "") for name in COUNTED)
        if same and status["observedGeneration"] <= old.get("observedGeneration", 0) and "replicas" in old:
            return
        written = {name: value for name, value in status.items() if value or name in ALWAYS}
        if "conditions" in old:
            written["conditions"] = old["conditions"]
        await self._cluster.update(STATEFUL_SETS, {**stateful_set, "status": written}, "status")
