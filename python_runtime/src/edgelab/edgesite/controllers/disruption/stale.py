"""Announcements of a disruption that did not come: taken back after two minutes."""

from __future__ import annotations

from edgelab.daemon.clock import parse_rfc3339
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.pods import is_finished
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.kube.informer import DELETED, Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import PODS
from edgelab.objects.metadata import condition, is_deleting

STALE_SECONDS = 120.0


class StaleDisruptions:
    """A module; its queue holds the keys of pods with the condition DisruptionTarget."""

    name = "stale-disruptions"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._pods = cluster.view(PODS)
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, [self._pods], workers=1)
        self._pods.add_handler(self._on_pod)

    async def run(self) -> None:
        """Take announcements back."""
        await self._queue.run()

    def _on_pod(self, event_type: str, old: Obj | None, new: Obj) -> None:
        if event_type != DELETED and announced(new) is not None:
            self._queue.add_object(new)

    async def _reconcile(self, key: Key) -> float | None:
        pod = self._pods.get(key[1], key[0])
        target = announced(pod) if pod is not None else None
        if pod is None or target is None:
            return None
        since = parse_rfc3339(target["lastTransitionTime"])
        left = STALE_SECONDS - (self._cluster.clock.now() - since).total_seconds()
        if left > 0:
            return left
        others = [item for item in pod["status"]["conditions"] if item["type"] != "DisruptionTarget"]
        now = self._cluster.stamp()
        false: Obj = {"type": "DisruptionTarget", "status": "False", "lastTransitionTime": now}
        if generation := pod["metadata"].get("generation"):
            false["observedGeneration"] = generation
        changed = {**pod, "status": {**pod["status"], "conditions": [*others, false]}}
        await self._cluster.update(PODS, changed, "status")
        return None


def announced(pod: Obj) -> Obj | None:
    """The announcement, while the pod neither ends nor has ended."""
    target = condition(pod, "DisruptionTarget")
    if target is None or target["status"] != "True" or is_deleting(pod) or is_finished(pod):
        return None
    return target if target.get("lastTransitionTime") else None
