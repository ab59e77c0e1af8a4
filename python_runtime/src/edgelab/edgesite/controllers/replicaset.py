"""ReplicaSets and ReplicationControllers: as many pods as `spec.replicas` says (pkg/controller/replicaset).

Receives them and pods. Writes pods (create, delete, adopt, release), their own status and events.
When the API refuses a pod, the condition ReplicaFailure says why, and it tries again.
"""

from __future__ import annotations

import copy
from typing import Any

from edgelab.edgesite.controllers.support.adoption import claim
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.kinds import REPLICATION_CONTROLLERS
from edgelab.edgesite.controllers.support.owners import watch_owned
from edgelab.edgesite.controllers.support.pods import (
    available_in,
    deletion_order,
    from_template,
    is_active,
    is_finished,
    is_ready,
)
from edgelab.edgesite.controllers.support.recorder import Recorder
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.kube.informer import Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import PODS, REPLICA_SETS
from edgelab.objects.metadata import is_deleting, labels
from edgelab.objects.status import ApiError

BURST = 500
"""At most so many pods are created or deleted in one pass."""


class ReplicaSetController:
    """A module; its queue holds the keys of ReplicaSets."""

    name = "replicaset-controller"
    resource = REPLICA_SETS
    counts_terminating = True

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._sets = cluster.view(self.resource)
        self._pods = cluster.view(PODS)
        self._events = Recorder(cluster.api, cluster.clock, self.name)
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, [self._sets, self._pods])
        self._sets.add_handler(lambda _, __, new: self._queue.add_object(new))
        watch_owned(self._pods, self._sets, self.resource.kind, self._queue)

    async def run(self) -> None:
        """Keep every ReplicaSet at its size."""
        await self._queue.run()

    async def _reconcile(self, key: Key) -> float | None:
        replica_set = self._sets.get(key[1], key[0])
        if replica_set is None:
            return None
        candidates = [pod for pod in self._pods.claimable(replica_set) if is_active(pod)]
        active = await claim(self._cluster, PODS, replica_set, candidates)
        failure: tuple[str, ApiError] | None = None
        if not is_deleting(replica_set):
            failure = await self._resize(replica_set, active)
        again = await self._report(replica_set, failure)
        if failure is not None:
            raise failure[1]
        return again

    async def _resize(self, replica_set: Obj, active: list[Obj]) -> tuple[str, ApiError] | None:
        """Create or delete what differs; gives the refusal that stopped it, with its reason."""
        difference = len(active) - int(replica_set["spec"].get("replicas", 1))
        try:
            for _ in range(min(-difference, BURST)):
                await self._create(replica_set)
        except ApiError as error:
            if error.code == 403 and "being terminated" in error.message:
                return None
            await self._events.warning(replica_set, "FailedCreate", f"Error creating: {error.message}")
            return "FailedCreate", error
        for pod in deletion_order(active)[: max(0, min(difference, BURST))]:
            name = pod["metadata"]["name"]
            try:
                deleted = await self._cluster.delete(PODS, pod)
            except ApiError as error:
                await self._events.warning(replica_set, "FailedDelete", f"Error deleting: {error.message}")
                return "FailedDelete", error
            if deleted:
                await self._events.normal(replica_set, "SuccessfulDelete", f"Deleted pod: {name}")
        return None

    async def _create(self, replica_set: Obj) -> None:
        pod = from_template(replica_set, replica_set["spec"]["template"])
        made = await self._cluster.create(PODS, pod, replica_set["metadata"]["namespace"])
        await self._events.normal(replica_set, "SuccessfulCreate", f"Created pod: {made['metadata']['name']}")

    async def _report(self, replica_set: Obj, failure: tuple[str, ApiError] | None) -> float | None:
        """Write the status if it has changed; gives the seconds until a pod becomes available."""
        spec = replica_set["spec"]
        owned = self._pods.owned(replica_set["metadata"]["uid"])
        active = [pod for pod in owned if is_active(pod)]
        now, minimum = self._cluster.clock.now(), int(spec.get("minReadySeconds", 0))
        waits = [wait for pod in active if (wait := available_in(pod, minimum, now)) is not None]
        template_labels = ((spec["template"].get("metadata") or {}).get("labels") or {}).items()
        counts = {
            "fullyLabeledReplicas": sum(1 for pod in active if template_labels <= labels(pod).items()),
            "readyReplicas": sum(1 for pod in active if is_ready(pod)),
            "availableReplicas": waits.count(0.0),
        }
        status: Obj = {"replicas": len(active), **{name: count for name, count in counts.items() if count}}
        if self.counts_terminating:
            leaving = [pod for pod in owned if is_deleting(pod) and not is_finished(pod)]
            status["terminatingReplicas"] = len(leaving)
        status["observedGeneration"] = replica_set["metadata"].get("generation", 1)
        if conditions := self._conditions(replica_set, failure):
            status["conditions"] = conditions
        if status != replica_set.get("status"):
            changed = copy.deepcopy(replica_set)
            changed["status"] = status
            await self._cluster.update(self.resource, changed, "status")
        return min((wait for wait in waits if wait > 0), default=None)

    def _conditions(self, replica_set: Obj, failure: tuple[str, ApiError] | None) -> list[Any]:
        old = (replica_set.get("status") or {}).get("conditions") or []
        others = [item for item in old if item.get("type") != "ReplicaFailure"]
        if failure is None:
            return others
        reason, error = failure
        mine = {"type": "ReplicaFailure", "status": "True", "reason": reason, "message": error.message}
        same = [item for item in old if mine.items() <= item.items()]
        return [*others, same[0] if same else {**mine, "lastTransitionTime": self._cluster.stamp()}]


class ReplicationControllerManager(ReplicaSetController):
    """A module; its queue holds the keys of ReplicationControllers, the ReplicaSets of older days."""

    name = "replication-controller"
    resource = REPLICATION_CONTROLLERS
    counts_terminating = False
