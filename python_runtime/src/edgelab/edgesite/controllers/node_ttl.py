"""How long kubelets may keep Secrets and ConfigMaps, by the size of the cluster (pkg/controller/ttl).

When the cluster grows past a step, each node gets the new time after its next change, as there: kubelets
report every few minutes, and the one node that was too many costs no write of all the others.
"""

from __future__ import annotations

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.kube.informer import ADDED, DELETED, Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import NODES
from edgelab.objects.metadata import is_deleting, key_of

SETTLE_SECONDS = 2.0
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
        if event_type in (ADDED, DELETED):
            self._count()
        if event_type == DELETED:
            return
        if self.missing(new):
            self._queue.add_after(key_of(new), SETTLE_SECONDS)
        else:
            # Others have written it along: a step that comes from now on waits for the node's next change.
            self._queue.cancel(key_of(new))

    def _count(self) -> None:
        """Go to the step that the number of nodes is in."""
        count = self._nodes.count()
        while count > STEPS[self._step][1]:
            self._step += 1
        while count < STEPS[self._step][0]:
            self._step -= 1

    def missing(self, node: Obj) -> dict[str, str]:
        """The annotation that the node does not have yet; who changes the node anyway may add it."""
        wanted = str(STEPS[self._step][2])
        notes = node["metadata"].get("annotations") or {}
        return {} if notes.get(ANNOTATION) == wanted else {ANNOTATION: wanted}

    async def _reconcile(self, key: Key) -> None:
        node = self._nodes.get(key[1])
        if node is None or is_deleting(node):
            return
        if notes := self.missing(node):
            await self._cluster.patch(NODES, node, {"metadata": {"annotations": notes}})
