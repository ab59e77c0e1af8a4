"""Enlarged claims: said to wait for whoever can enlarge their volumes (pkg/controller/volume/expand).

Receives claims; writes events. No volume is enlarged here: that is the work of a CSI driver's resizer.
"""

from __future__ import annotations

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.recorder import Recorder
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.edgesite.controllers.volumes.matching import requested
from edgelab.kube.informer import MODIFIED, Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from edgelab.objects import quantity


class ExpansionController:
    """A module; its queue holds the keys of claims."""

    name = "persistentvolume-expander-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._claims = cluster.view(PERSISTENT_VOLUME_CLAIMS)
        self._volumes = cluster.view(PERSISTENT_VOLUMES)
        self._events = Recorder(cluster.api, cluster.clock, "volume_expand")
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, [self._claims, self._volumes])
        self._claims.add_handler(self._on_claim)

    async def run(self) -> None:
        """Tell who waits."""
        await self._queue.run()

    def _on_claim(self, event_type: str, old: Obj | None, new: Obj) -> None:
        if event_type == MODIFIED and old is not None and requested(new) > requested(old):
            self._queue.add_object(new)

    async def _reconcile(self, key: Key) -> None:
        claim = self._claims.get(key[1], key[0])
        status = (claim or {}).get("status") or {}
        if claim is None or status.get("phase") != "Bound":
            return
        volume = self._volumes.get(claim["spec"].get("volumeName") or "")
        granted = quantity.parse((status.get("capacity") or {}).get("storage", "0"))
        if volume is not None and requested(claim) > granted:
            text = "waiting for an external controller to expand this PVC"
            await self._events.normal(claim, "ExternalExpanding", text)
