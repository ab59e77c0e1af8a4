"""Volumes that say by labels in which zone or region they are. No I/O.

Facts: pkg/scheduler/framework/plugins/volumezone.
"""

from __future__ import annotations

from edgelab.edgesite.scheduler.nodeinfo import NodeInfo
from edgelab.edgesite.scheduler.plugins.base import Unmoved
from edgelab.edgesite.scheduler.plugins.volumes import Volumes, class_of
from edgelab.edgesite.scheduler.podinfo import PodInfo
from edgelab.edgesite.scheduler.verdict import Refusal
from edgelab.objects.metadata import labels

NAME = "VolumeZone"
NOWHERE = Refusal(NAME, ("node(s) had no available volume zone",))
KEYS = {
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone": "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region": "topology.kubernetes.io/region",
}
"""Labels, and what those of old are called today."""
Wanted = list[tuple[str, frozenset[str]]]


class VolumeZone(Unmoved):
    """The node must be in the zone of each volume."""

    name = NAME

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted

    def refuse(self, node: NodeInfo) -> Refusal | None:
        """Why not; nodes without any such label are in every zone."""
        if not any(key in node.labels for key in KEYS):
            return None
        for key, values in self._wanted:
            if node.labels.get(key, node.labels.get(KEYS[key])) not in values:
                return NOWHERE
        return None


def zones(pod: PodInfo, known: Volumes) -> Refusal | Wanted:
    """The zones of the pod's volumes, or why they cannot be known."""
    wanted: Wanted = []
    for volume in pod.obj["spec"].get("volumes") or ():
        name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        claim = known.claim(pod.namespace, name) if name else None
        if claim is None:
            if name:
                return Refusal(NAME, (f'persistentvolumeclaim "{name}" not found',))
            continue
        bound = claim["spec"].get("volumeName")
        if not bound:
            if refusal := _unbound(class_of(claim), known):
                return refusal
            continue
        found = known.volume(bound)
        if found is None:
            return Refusal(NAME, (f'persistentvolume "{bound}" not found',))
        for key in KEYS:
            if key in labels(found):
                wanted.append((key, frozenset(labels(found)[key].split("__"))))
    return wanted


def _unbound(name: str, known: Volumes) -> Refusal | None:
    if not name:
        return Refusal(NAME, ("PersistentVolumeClaim had no pv name and storageClass name",))
    found = known.storage_class(name)
    if found is None:
        return Refusal(NAME, (f'storageclass.storage.k8s.io "{name}" not found',))
    if found.get("volumeBindingMode") == "WaitForFirstConsumer":
        return None
    return Refusal(NAME, ("PersistentVolume had no name",))
