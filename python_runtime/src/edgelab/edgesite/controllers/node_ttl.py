"""How long kubelets may keep Secrets and ConfigMaps, by the size of the cluster (pkg/controller/ttl)."""

from __future__ import annotations

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.kube.informer import ADDED, DELETED, Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import NODES
from edgelab.objects.metadata import is_deleting, key_of

SETTLE_SECONDS = 1.0
"""Nothing is in a hurry for the annotation, and a node that joins changes several times."""
ANNOTATION = "node.alpha.kubernetes.io/ttl"
STEPS = ((0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, 2**31, 300))
"""Nodes from which and up to which a step lasts, and its seconds; steps overlap, so that none flaps."""


class NodeTTLController:
    """A module; its queue holds the keys of nodes."""

    name = "ttl-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._nodes = cluster.view(NODES)
        self._step = 0
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, [self._nodes], workers=1)
        self._nodes.add_handler(self._on_node)

    async def run(self) -> None:
        """Keep the annotation."""
        await self._queue.run()

    def _on_node(self, event_type: str, old: Obj | None, new: Obj) -> None:
        if event_type in (ADDED, DELETED) and self._moved():
            for node in self._nodes.all():
                self._queue.add_object(node)
        if event_type != DELETED and not self._is_right(new):
            self._queue.add_after(key_of(new), SETTLE_SECONDS)

    def _moved(self) -> bool:
        """Whether the number of nodes has left the present step."""
        before, count = self._step, len(self._nodes.all())
        while count > STEPS[self._step][1]:
            self._step += 1
        while count < STEPS[self._step][0]:
            self._step -= 1
        return self._step != before

    def _is_right(self, node: Obj) -> bool:
        notes = node["metadata"].get("annotations") or {}
        return bool(notes.get(ANNOTATION) == str(STEPS[self._step][2]))

    async def _reconcile(self, key: Key) -> None:
        node = self._nodes.get(key[1])
        if node is None or is_deleting(node) or self._is_right(node):
            return
        patch = {"metadata": {"annotations": {ANNOTATION: str(STEPS[self._step][2])}}}
        await self._cluster.patch(NODES, node, patch)
