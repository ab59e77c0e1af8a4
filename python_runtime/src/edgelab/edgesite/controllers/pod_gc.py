"""Pods that nobody else will ever finish (pkg/controller/podgc).

Receives pods and nodes. Deletes for good: pods bound to a node that has been missing for 40 s, pods
that are being deleted and were never scheduled, and finished pods beyond the most that are kept.
"""

from __future__ import annotations

from edgelab.daemon.clock import parse_rfc3339
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.pods import is_finished
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.kube.informer import DELETED, Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import NODES, PODS
from edgelab.objects.metadata import controller_of, is_deleting
from edgelab.objects.status import ApiError

QUARANTINE_SECONDS = 40.0
"""A node may be created again, or its pods may arrive before it."""
PERIOD_SECONDS = 20.0
"""The real collector looks so often; pods with finalizers have this time to go by themselves."""
KEPT_FINISHED = 12500


class PodGarbageCollector:
    """A module; its queue holds the keys of pods."""

    name = "pod-garbage-collector"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._pods = cluster.view(PODS)
        self._nodes = cluster.view(NODES)
        self._missing: dict[str, float] = {}
        """Since when a node that pods are bound to has been known to be missing."""
        self._finished: set[Key] = set()
        needs = [self._pods, self._nodes]
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, needs)
        self._pods.add_handler(self._on_pod)
        self._nodes.add_handler(self._on_node)

    async def run(self) -> None:
        """Remove what is left over."""
        await self._queue.run()

    def _on_pod(self, event_type: str, old: Obj | None, new: Obj) -> None:
        key = (new["metadata"]["namespace"], new["metadata"]["name"])
        if event_type == DELETED or not is_finished(new):
            self._finished.discard(key)
        else:
            self._finished.add(key)
        if event_type != DELETED:
            self._queue.add(key)

    def _on_node(self, event_type: str, old: Obj | None, new: Obj) -> None:
        name = new["metadata"]["name"]
        if event_type != DELETED:
            self._missing.pop(name, None)
            return
        for pod in self._pods.on_node(name):
            self._queue.add_object(pod)

    async def _reconcile(self, key: Key) -> float | None:
        pod = self._pods.get(key[1], key[0])
        if pod is None:
            return None
        node = pod["spec"].get("nodeName")
        if not node:
            if is_deleting(pod):
                return await self._on_unscheduled(pod)
        elif self._nodes.get(node) is None:
            return await self._on_missing_node(pod, node)
        if len(self._finished) > KEPT_FINISHED:
            await self._thin_out()
        return None

    async def _on_unscheduled(self, pod: Obj) -> float | None:
        """Nobody will report the end of a pod that never ran."""
        since = parse_rfc3339(pod["metadata"]["deletionTimestamp"])
        left = PERIOD_SECONDS - (self._cluster.clock.now() - since).total_seconds()
        if 0 < left <= PERIOD_SECONDS:
            return left
        if not is_finished(pod):
            await self._mark_failed(pod)
        await self._remove(pod)
        return None

    async def _on_missing_node(self, pod: Obj, node: str) -> float | None:
        now = self._cluster.clock.monotonic()
        since = self._missing.setdefault(node, now)
        if now - since < QUARANTINE_SECONDS:
            return QUARANTINE_SECONDS - (now - since)
        if not is_finished(pod):
            await self._mark_failed(pod, self._node_gone())
        await self._remove(pod)
        return None

    def _node_gone(self) -> Obj:
        return {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByPodGC",
            "message": "PodGC: node no longer exists",
            "lastTransitionTime": self._cluster.stamp(),
        }

    async def _mark_failed(self, pod: Obj, why: Obj | None = None) -> None:
        """Whoever counts the pod (a job) must learn that it did not succeed."""
        status: Obj = {"phase": "Failed"}
        if generation := pod["metadata"].get("generation"):
            status["observedGeneration"] = generation
        if why is not None:
            why = {**why, **({"observedGeneration": generation} if generation else {})}
            others = [c for c in pod["status"].get("conditions") or [] if c["type"] != why["type"]]
            status["conditions"] = [*others, why]
        version = {"resourceVersion": pod["metadata"]["resourceVersion"]}
        await self._cluster.patch(PODS, pod, {"metadata": version, "status": status}, "status")

    async def _thin_out(self) -> None:
        finished = [pod for key in self._finished if (pod := self._pods.get(key[1], key[0]))]
        finished.sort(key=lambda pod: (controller_of(pod) is not None, pod["metadata"]["creationTimestamp"]))
        for pod in finished[: len(finished) - KEPT_FINISHED]:
            await self._remove(pod)

    async def _remove(self, pod: Obj) -> None:
        metadata = pod["metadata"]
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
        try:
            await self._cluster.api.delete(PODS, metadata["name"], metadata["namespace"], options=options)
        except ApiError as error:
            if error.code != 404:
                raise
