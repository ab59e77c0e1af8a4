"""Volumes that only one pod may use at a time. No I/O.

Facts: pkg/scheduler/framework/plugins/volumerestrictions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edgelab.edgesite.scheduler.nodeinfo import NodeInfo
from edgelab.edgesite.scheduler.podinfo import PodInfo
from edgelab.edgesite.scheduler.verdict import Refusal

NAME = "VolumeRestrictions"
DISK = Refusal(NAME, ("node(s) had no available disk",), preemptible=True)
_ONE_POD = "ReadWriteOncePod access mode already in-use by another pod"
CLAIM = Refusal(
    NAME, (f"node(s) unavailable due to PersistentVolumeClaim with {_ONE_POD}",), preemptible=True
)
Volume = Mapping[str, Any]


class VolumeRestrictions:
    """Disks that are on the node already, and claims that one pod has for itself."""

    name = NAME

    def __init__(self, pod: PodInfo, alone: frozenset[str]) -> None:
        self._pod = pod
        self._alone = alone
        """Names of the pod's claims that only one pod may use."""
        volumes = pod.obj["spec"].get("volumes") or ()
        self._disks = [volume for volume in volumes if any(kind in volume for kind in _SAME)]
        self._uses = 0

    def look(self, nodes: Iterable[NodeInfo]) -> None:
        """Count who uses the claims."""
        if self._alone:
            others = [other for node in nodes for other in node.pods.values()]
            used = {name for other in others if self._is_near(other) for name in other.claims}
            self._uses = len(used & self._alone)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to check."""
        return not self._disks and not self._uses

    def refuse(self, node: NodeInfo) -> Refusal | None:
        """Why not."""
        for volume in self._disks:
            for other in node.pods.values():
                if _conflicts(volume, other.obj["spec"].get("volumes") or ()):
                    return DISK
        return CLAIM if self._uses > 0 else None

    def moved(self, pod: PodInfo, node: NodeInfo, sign: int) -> None:
        """Count another pod in, or out."""
        self._uses += sign * sum(1 for name in pod.claims if name in self._alone)

    def copy(self) -> VolumeRestrictions:
        """One with which suppositions can be tried."""
        twin = VolumeRestrictions(self._pod, self._alone)
        twin._uses = self._uses
        return twin

    def _is_near(self, other: PodInfo) -> bool:
        return other.namespace == self._pod.namespace


def _gce(one: Volume, other: Volume) -> bool:
    return bool(one["pdName"] == other["pdName"] and not _both_read(one, other))


def _aws(one: Volume, other: Volume) -> bool:
    return bool(one["volumeID"] == other["volumeID"])


def _iscsi(one: Volume, other: Volume) -> bool:
    return bool(one["iqn"] == other["iqn"] and not _both_read(one, other))


def _rbd(one: Volume, other: Volume) -> bool:
    monitors = set(one["monitors"]) & set(other["monitors"])
    same = all(one.get(key) == other.get(key) for key in ("pool", "image"))
    return bool(monitors and same and not _both_read(one, other))


def _both_read(one: Volume, other: Volume) -> bool:
    return bool(one.get("readOnly") and other.get("readOnly"))


_SAME = {"gcePersistentDisk": _gce, "awsElasticBlockStore": _aws, "iscsi": _iscsi, "rbd": _rbd}


def _conflicts(volume: Volume, others: Sequence[Volume]) -> bool:
    return any(
        same(volume[kind], other[kind])
        for kind, same in _SAME.items()
        for other in others
        if kind in volume and kind in other
    )
