"""Claims that pods use, and volumes that claims use, stay until they are no longer used.

Receives claims, volumes and pods. Puts the protecting finalizers on and takes them off.
Fact: pkg/controller/volume/{pvcprotection,pvprotection}.
"""

from __future__ import annotations

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.edgesite.controllers.volumes.usage import claims_of, holds
from edgelab.kube.informer import DELETED, Key
from edgelab.kube.interface import Obj, Resource
from edgelab.kube.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from edgelab.objects.metadata import is_deleting

CLAIM, VOLUME = "kubernetes.io/pvc-protection", "kubernetes.io/pv-protection"


class ProtectionController:
    """A module; its queue holds the keys of claims, and of volumes (which have no namespace)."""

    name = "volume-protection-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._claims = cluster.view(PERSISTENT_VOLUME_CLAIMS)
        self._volumes = cluster.view(PERSISTENT_VOLUMES)
        self._pods = cluster.view(PODS)
        needs = [self._claims, self._volumes, self._pods]
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, needs)
        self._claims.add_handler(lambda _, __, new: self._queue.add_object(new))
        self._volumes.add_handler(lambda _, __, new: self._queue.add_object(new))
        self._pods.add_handler(self._on_pod)

    async def run(self) -> None:
        """Protect."""
        await self._queue.run()

    def _on_pod(self, event_type: str, old: Obj | None, new: Obj) -> None:
        if event_type != DELETED and holds(new):
            return
        for name in claims_of(new):
            self._queue.add((new["metadata"]["namespace"], name))

    async def _reconcile(self, key: Key) -> None:
        if key[0]:
            claim = self._claims.get(key[1], key[0])
            if claim is not None:
                used = is_deleting(claim) and self._is_used(claim)
                await self._protect(PERSISTENT_VOLUME_CLAIMS, claim, CLAIM, used)
            return
        volume = self._volumes.get(key[1])
        if volume is not None:
            used = (volume.get("status") or {}).get("phase") == "Bound"
            await self._protect(PERSISTENT_VOLUMES, volume, VOLUME, used)

    def _is_used(self, claim: Obj) -> bool:
        name, namespace = claim["metadata"]["name"], claim["metadata"]["namespace"]
        return any(holds(pod) and name in claims_of(pod) for pod in self._pods.in_namespace(namespace))

    async def _protect(self, resource: Resource, obj: Obj, finalizer: str, used: bool) -> None:
        present = list(obj["metadata"].get("finalizers") or ())
        if is_deleting(obj):
            if finalizer in present and not used:
                await self._write(resource, obj, [name for name in present if name != finalizer])
        elif finalizer not in present:
            await self._write(resource, obj, [*present, finalizer])

    async def _write(self, resource: Resource, obj: Obj, finalizers: list[str]) -> None:
        version = obj["metadata"]["resourceVersion"]
        patch = {"metadata": {"finalizers": finalizers or None, "resourceVersion": version}}
        await self._cluster.patch(resource, obj, patch)
