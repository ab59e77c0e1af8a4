"""The scheduler: one pod after the other, onto the best node that fits.

Receives pods and nodes. Writes bindings, the condition PodScheduled of pods that fit nowhere, and
events. A pod that fits nowhere waits, at no cost, until a node changes in a way that matters or a
pod leaves a node. When the API is gone it waits with what it knows.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.pods import is_finished
from edgelab.edgesite.controllers.support.recorder import Recorder
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.edgesite.scheduler.demand import allocatable, demand
from edgelab.edgesite.scheduler.filters import Refusal, check, explain
from edgelab.edgesite.scheduler.ledger import Ledger, owner_of
from edgelab.edgesite.scheduler.neighbours import Neighbours, Place, cares
from edgelab.edgesite.scheduler.scores import Candidate, best
from edgelab.kube.informer import DELETED, Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import NAMESPACES, NODES, PODS
from edgelab.objects.metadata import condition, is_deleting, key_of, labels
from edgelab.objects.status import ApiError

NAME = "default-scheduler"


class Scheduler:
    """A module; its queue holds the keys of pods without a node."""

    name = NAME

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._pods = cluster.view(PODS)
        self._nodes = cluster.view(NODES)
        self._namespaces = cluster.view(NAMESPACES)
        self._ledger = Ledger()
        self._waiting: set[Key] = set()
        """Pods that fit nowhere."""
        self._events = Recorder(cluster.api, cluster.clock, NAME)
        needs = [self._pods, self._nodes, self._namespaces]
        # One worker: each decision has to see the one before.
        self._queue = WorkQueue(NAME, self._schedule, cluster.clock, needs, workers=1)
        self._pods.add_handler(self._on_pod)
        self._nodes.add_handler(self._on_node)

    async def run(self) -> None:
        """Bind pods."""
        await self._queue.run()

    def _on_pod(self, event_type: str, old: Obj | None, new: Obj) -> None:
        node = new["spec"].get("nodeName")
        if event_type == DELETED or is_finished(new):
            self._waiting.discard(key_of(new))
            if self._ledger.remove(new):
                self._retry()
        elif node:
            fresh = self._ledger.put(new, node)
            self._waiting.discard(key_of(new))
            if fresh or (old is not None and labels(old) != labels(new)):
                self._retry(neighbours=True)
        elif _is_ours(new) and (old is None or _asks(old) != _asks(new)):
            self._queue.add_object(new)

    def _on_node(self, event_type: str, old: Obj | None, new: Obj) -> None:
        if event_type != DELETED and (old is None or _offers(old) != _offers(new)):
            self._retry()

    def _retry(self, *, neighbours: bool = False) -> None:
        """Look again at the pods that wait; with `neighbours` at those that a newcomer can help."""
        for key in self._waiting:
            pod = self._pods.get(key[1], key[0])
            if not neighbours or (pod is not None and cares(pod)):
                self._queue.add(key)

    async def _schedule(self, key: Key) -> None:
        pod = self._pods.get(key[1], key[0])
        if pod is None or pod["spec"].get("nodeName") or not _is_ours(pod):
            self._waiting.discard(key)
            return
        node, refusals = self._choose(pod)
        if node is None:
            self._waiting.add(key)
            await self._refuse(pod, explain(refusals))
            return
        self._waiting.discard(key)
        await self._bind(pod, node)

    def _choose(self, pod: Obj) -> tuple[str | None, list[Refusal]]:
        asked, candidates, refusals = demand(pod), [], []
        places = [Place(node, self._ledger.load(node["metadata"]["name"])) for node in self._nodes.all()]
        neighbours = Neighbours(pod, places, self._namespace_labels)
        for node, load in places:
            refusal = check(pod, asked, node, load) or neighbours.refusal(node)
            if refusal is None:
                candidates.append(Candidate(node, load, neighbours.wish(node)))
            else:
                refusals.append(refusal)
        if not candidates:
            return None, refusals
        return best(pod, asked, owner_of(pod), candidates)["metadata"]["name"], refusals

    def _namespace_labels(self, name: str) -> Mapping[str, str]:
        namespace = self._namespaces.get(name)
        return labels(namespace) if namespace is not None else {}

    async def _bind(self, pod: Obj, node: str) -> None:
        metadata = pod["metadata"]
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
            },
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        self._ledger.put(pod, node)
        try:
            await self._cluster.api.create(PODS, binding, metadata["namespace"], subresource="binding")
        except ApiError as error:
            if self._is_still_unbound(pod):
                self._ledger.remove(pod)
            if error.code == 404:
                return
            raise
        text = f"Successfully assigned {metadata['namespace']}/{metadata['name']} to {node}"
        await self._events.normal(pod, "Scheduled", text)

    def _is_still_unbound(self, pod: Obj) -> bool:
        current = self._pods.get(pod["metadata"]["name"], pod["metadata"]["namespace"])
        return current is None or not current["spec"].get("nodeName")

    async def _refuse(self, pod: Obj, message: str) -> None:
        old = condition(pod, "PodScheduled") or {}
        if (old.get("status"), old.get("reason"), old.get("message")) != ("False", "Unschedulable", message):
            await self._write_refusal(pod, old, message)
        await self._events.warning(pod, "FailedScheduling", message)

    async def _write_refusal(self, pod: Obj, old: Obj, message: str) -> None:
        since = old.get("lastTransitionTime") if old.get("status") == "False" else None
        new = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastProbeTime": None,
            "lastTransitionTime": since or self._cluster.stamp(),
        }
        others = [c for c in pod["status"].get("conditions") or [] if c["type"] != "PodScheduled"]
        patch = {
            "metadata": {"resourceVersion": pod["metadata"]["resourceVersion"]},
            "status": {"conditions": [*others, new]},
        }
        try:
            await self._cluster.patch(PODS, pod, patch, "status")
        except ApiError as error:
            if error.code != 404:
                raise


def _is_ours(pod: Obj) -> bool:
    spec = pod["spec"]
    named = spec.get("schedulerName", NAME) == NAME
    return named and not spec.get("schedulingGates") and not is_deleting(pod) and not is_finished(pod)


def _asks(pod: Obj) -> tuple[object, ...]:
    """What a pod's change must touch to be worth another attempt; its status is not part of it."""
    return pod["metadata"]["uid"], pod["spec"], labels(pod)


def _offers(node: Obj) -> tuple[object, ...]:
    """What a node's change must touch to be worth another attempt; heartbeats are not part of it."""
    spec = node.get("spec") or {}
    return labels(node), spec.get("taints"), spec.get("unschedulable"), allocatable(node)
