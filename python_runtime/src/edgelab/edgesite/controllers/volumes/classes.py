"""VolumeAttributesClasses that claims or volumes name stay until none does (`vacprotection`).

Receives such classes, claims and volumes. Puts the protecting finalizer on and takes it off.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.kinds import VOLUME_ATTRIBUTES_CLASSES
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.kube.informer import DELETED, Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from edgelab.objects.metadata import is_deleting

FINALIZER = "kubernetes.io/vac-protection"


class ClassProtectionController:
    """A module; its queue holds the names of classes."""

    name = "volumeattributesclass-protection-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._classes = cluster.view(VOLUME_ATTRIBUTES_CLASSES)
        self._users = [cluster.view(PERSISTENT_VOLUME_CLAIMS), cluster.view(PERSISTENT_VOLUMES)]
        needs = [self._classes, *self._users]
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, needs)
        self._classes.add_handler(lambda _, __, new: self._queue.add_object(new))
        for view in self._users:
            view.add_handler(self._on_user)

    async def run(self) -> None:
        """Protect."""
        await self._queue.run()

    def _on_user(self, event_type: str, old: Obj | None, new: Obj) -> None:
        """What is no longer named may go."""
        before = set(names_of(new if event_type == DELETED else old or {}))
        for name in before - set(() if event_type == DELETED else names_of(new)):
            self._queue.add(("", name))

    async def _reconcile(self, key: Key) -> None:
        found = self._classes.get(key[1])
        if found is None:
            return
        present = list(found["metadata"].get("finalizers") or ())
        wanted = [name for name in present if name != FINALIZER]
        if not is_deleting(found):
            wanted = present if FINALIZER in present else [*present, FINALIZER]
        elif any(key[1] in names_of(user) for view in self._users for user in view.all()):
            return
        if wanted != present:
            version = found["metadata"]["resourceVersion"]
            patch = {"metadata": {"finalizers": wanted or None, "resourceVersion": version}}
            await self._cluster.patch(VOLUME_ATTRIBUTES_CLASSES, found, patch)


def names_of(obj: Obj) -> Iterator[str]:
    """The classes that a claim or a volume has, or is to have."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    wanted = (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName")
    found = (spec.get("volumeAttributesClassName"), status.get("currentVolumeAttributesClassName"), wanted)
    yield from (name for name in found if name)
