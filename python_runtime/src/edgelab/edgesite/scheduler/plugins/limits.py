"""How many volumes of a CSI driver a node can have. No I/O.

Facts: pkg/scheduler/framework/plugins/nodevolumelimits/csi.go. A volume that several pods of a node share
counts once; what is still attached counts although its pod is gone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol

from edgelab.edgesite.scheduler.nodeinfo import NodeInfo
from edgelab.edgesite.scheduler.plugins.base import Unmoved
from edgelab.edgesite.scheduler.plugins.volumes import Volumes, class_of
from edgelab.edgesite.scheduler.podinfo import PodInfo
from edgelab.edgesite.scheduler.verdict import Refusal
from edgelab.kube.interface import Obj

NAME = "NodeVolumeLimits"
FULL = Refusal(NAME, ("node(s) exceed max volume count",), preemptible=True)
Used = dict[str, str]
"""Drivers by the names of volumes, which hold the driver's name and its handle."""


class Attached(Volumes, Protocol):
    """Volumes, and what is known of nodes."""

    def csi_node(self, name: str) -> Obj | None:
        """What drivers a node has."""
        ...

    def attachments(self) -> list[Obj]:
        """All VolumeAttachments."""
        ...


class NodeVolumeLimits(Unmoved):
    """Each driver of the node has room for what the pod brings along."""

    name = NAME

    def __init__(self, known: Attached, pod: PodInfo) -> None:
        self._known = known
        self._wanted = _used(known, [pod])

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to check."""
        return not self._wanted

    def refuse(self, node: NodeInfo) -> Refusal | None:
        """Why not."""
        limits = limits_of(self._known.csi_node(node.name))
        if not any(driver in limits for driver in self._wanted.values()):
            return None
        present = _used(self._known, node.pods.values())
        new = Counter(driver for name, driver in self._wanted.items() if name not in present)
        counted = Counter((_still_attached(self._known, node.name) | present).values())
        full = any(
            driver in limits and counted[driver] + count > limits[driver] for driver, count in new.items()
        )
        return FULL if full else None


def limits_of(csi_node: Obj | None) -> Mapping[str, int]:
    """How many volumes a node can have, by driver; a driver without a limit is not named."""
    found = {}
    for driver in ((csi_node or {}).get("spec") or {}).get("drivers") or ():
        count = (driver.get("allocatable") or {}).get("count")
        if count is not None:
            found[str(driver["name"])] = int(count)
    return found


def _used(known: Attached, pods: Iterable[PodInfo]) -> Used:
    used: Used = {}
    for pod in pods:
        for name in pod.claims:
            claim = known.claim(pod.namespace, name)
            if claim is not None:
                used |= _volume_of(known, claim)
    return used


def _volume_of(known: Attached, claim: Obj) -> Used:
    """The volume of a claim; one that is still to be made is named after the claim."""
    bound = claim["spec"].get("volumeName")
    volume = known.volume(bound) if bound else None
    if volume is not None:
        return _csi(volume, str((volume["spec"].get("csi") or {}).get("driver") or ""))
    found = known.storage_class(class_of(claim))
    metadata, driver = claim["metadata"], str((found or {}).get("provisioner") or "")
    return {f"{driver}/{metadata['namespace']}/{metadata['name']}": driver} if driver else {}


def _csi(volume: Obj, driver: str) -> Used:
    handle = (volume["spec"].get("csi") or {}).get("volumeHandle")
    return {f"{driver}/{handle}": driver} if driver and handle else {}


def _still_attached(known: Attached, node: str) -> Used:
    used: Used = {}
    for attachment in known.attachments():
        spec = attachment["spec"]
        name = (spec.get("source") or {}).get("persistentVolumeName")
        volume = known.volume(name) if name and spec.get("nodeName") == node else None
        if volume is not None:
            used |= _csi(volume, str(spec.get("attacher") or ""))
    return used
