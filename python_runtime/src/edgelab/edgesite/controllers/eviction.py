"""Pods on nodes with NoExecute taints: who may stay, and for how long (pkg/controller/tainteviction).

Receives pods and nodes. Deletes a pod that does not tolerate a taint at once, one that tolerates it
for `tolerationSeconds` after that time, and never one that tolerates it without limit: at the
edge that is the usual case, since a node without a connection goes on working. While no node at all
is ready it is this side that is cut off, and nothing is evicted.
"""

from __future__ import annotations

from edgelab.edgesite.controllers.node_health import NOT_READY, UNREACHABLE
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.recorder import Recorder
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.edgesite.scheduler.nodes import taints, tolerations_for
from edgelab.kube.informer import DELETED, Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import NODES, PODS
from edgelab.objects.metadata import condition, is_deleting, key_of

SILENCE = frozenset({NOT_READY, UNREACHABLE})
DISRUPTION_SECONDS = 30.0
"""While nothing is ready, waiting evictions are looked at again after this time."""


class TaintEvictionController:
    """A module; its queue holds the keys of pods."""

    name = "taint-eviction-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._pods = cluster.view(PODS)
        self._nodes = cluster.view(NODES)
        self._gone: dict[Key, Obj] = {}
        """Pods that have gone although they had time."""
        self._due: dict[str, float] = {}
        """When a pod, by uid, is to go; monotonic, because wall clocks jump. It stays as it was first set."""
        self._events = Recorder(cluster.api, cluster.clock, self.name)
        needs = [self._pods, self._nodes]
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, needs)
        self._pods.add_handler(self._on_pod)
        self._nodes.add_handler(self._on_node)

    async def run(self) -> None:
        """Evict."""
        await self._queue.run()

    def _on_pod(self, event_type: str, old: Obj | None, new: Obj) -> None:
        if event_type == DELETED:
            if new["metadata"]["uid"] in self._due:
                self._gone[key_of(new)] = new
                self._queue.add_object(new)
            return
        if not new["spec"].get("nodeName"):
            return
        if old is None or _aspect(old) != _aspect(new):
            self._queue.add_object(new)

    def _on_node(self, event_type: str, old: Obj | None, new: Obj) -> None:
        before = taints(old, ("NoExecute",)) if old else []
        if event_type == DELETED or before == taints(new, ("NoExecute",)):
            return
        for pod in self._pods.on_node(new["metadata"]["name"]):
            self._queue.add_object(pod)

    async def _reconcile(self, key: Key) -> float | None:
        pod = self._pods.get(key[1], key[0])
        node = self._nodes.get(pod["spec"].get("nodeName") or "") if pod else None
        if (gone := self._gone.pop(key, None)) is not None:
            await self._cancel(gone)
        if pod is None or node is None or is_deleting(pod):
            return None
        present = taints(node, ("NoExecute",))
        uid, limit = pod["metadata"]["uid"], stay(pod, present)
        if not limit:
            await self._cancel(pod)
        if limit is None:
            return None
        now = self._cluster.clock.monotonic()
        if limit:
            left = self._due.setdefault(uid, now + limit) - now
            if left > 0:
                return left
        if all(taint["key"] in SILENCE for taint in present) and not self._somebody_is_ready():
            return DISRUPTION_SECONDS
        await self._evict(pod)
        return None

    async def _evict(self, pod: Obj) -> None:
        metadata = pod["metadata"]
        text = f"Marking for deletion Pod {metadata['namespace']}/{metadata['name']}"
        await self._events.normal(pod, "TaintManagerEviction", text)
        await self._announce(pod)
        await self._cluster.delete(PODS, pod)
        self._due.pop(metadata["uid"], None)

    async def _cancel(self, pod: Obj) -> None:
        """Say that a pod need not go, if it was to."""
        metadata = pod["metadata"]
        if self._due.pop(metadata["uid"], None) is not None:
            text = f"Cancelling deletion of Pod {metadata['namespace']}/{metadata['name']}"
            await self._events.normal(pod, "TaintManagerEviction", text)

    def _somebody_is_ready(self) -> bool:
        return any((condition(node, "Ready") or {}).get("status") == "True" for node in self._nodes.all())

    async def _announce(self, pod: Obj) -> None:
        """The condition by which a job tells an eviction from a failure."""
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "DeletionByTaintManager",
            "message": "Taint manager: deleting due to NoExecute taint",
            "lastTransitionTime": self._cluster.stamp(),
        }
        if generation := pod["metadata"].get("generation"):
            target["observedGeneration"] = generation
        others = [c for c in pod["status"].get("conditions") or [] if c["type"] != target["type"]]
        version = {"resourceVersion": pod["metadata"]["resourceVersion"]}
        patch = {"metadata": version, "status": {"conditions": [*others, target]}}
        await self._cluster.patch(PODS, pod, patch, "status")


def stay(pod: Obj, noexecute: list[Obj]) -> float | None:
    """Seconds for which the pod may be on a node with these taints; None for ever."""
    limits = []
    for taint in noexecute:
        tolerations = tolerations_for(pod, taint)
        if not tolerations:
            return 0.0
        seconds = [t["tolerationSeconds"] for t in tolerations if t.get("tolerationSeconds") is not None]
        limits += [max(0.0, float(min(seconds)))] if seconds else []
    return min(limits, default=None)


def _aspect(pod: Obj) -> tuple[object, ...]:
    return pod["spec"].get("nodeName"), pod["spec"].get("tolerations"), is_deleting(pod)
