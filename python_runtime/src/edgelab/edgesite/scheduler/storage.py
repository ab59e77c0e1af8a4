"""The rules about volumes, for pods that have any, and what is written before such a pod is bound."""

from __future__ import annotations

from collections.abc import Sequence

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.scheduler.lookup import Lookup
from edgelab.edgesite.scheduler.nodeinfo import NodeInfo
from edgelab.edgesite.scheduler.plugins.base import Filter
from edgelab.edgesite.scheduler.plugins.disks import NAME as RESTRICTIONS
from edgelab.edgesite.scheduler.plugins.disks import VolumeRestrictions
from edgelab.edgesite.scheduler.plugins.limits import NodeVolumeLimits
from edgelab.edgesite.scheduler.plugins.volumes import (
    BIND_COMPLETED,
    SELECTED_NODE,
    Binding,
    Claims,
    VolumeBinding,
    before_binding,
)
from edgelab.edgesite.scheduler.plugins.zone import VolumeZone, zones
from edgelab.edgesite.scheduler.podinfo import PodInfo
from edgelab.edgesite.scheduler.verdict import Refusal, SchedulerError
from edgelab.kube.interface import Obj
from edgelab.kube.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES

BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PATIENCE, INTERVAL = 600.0, 1.0
"""Seconds for which volumes may take until they are bound, and between two looks."""


def volume_filters(pod: PodInfo, nodes: Sequence[NodeInfo], known: Lookup) -> list[Filter] | Refusal:
    """The rules that have anything to say about the pod's volumes, or why no node can have it."""
    alone = _alone(pod, known)
    if isinstance(alone, Refusal):
        return alone
    found: list[Filter] = []
    restrictions = VolumeRestrictions(pod, alone)
    restrictions.look(nodes)
    if not restrictions.is_idle:
        found.append(restrictions)
    if not pod.claims:
        return found
    claims = before_binding(pod, known)
    if not isinstance(claims, Claims):
        return claims
    limits = NodeVolumeLimits(known, pod)
    if not limits.is_idle:
        found.append(limits)
    found.append(VolumeBinding(known, claims))
    wanted = zones(pod, known)
    if isinstance(wanted, Refusal):
        return wanted
    if wanted:
        found.append(VolumeZone(wanted))
    return found


def _alone(pod: PodInfo, known: Lookup) -> Refusal | frozenset[str]:
    """The claims that only one pod may use."""
    names = set()
    for volume in pod.obj["spec"].get("volumes") or ():
        name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if not name:
            continue
        claim = known.claim(pod.namespace, name)
        if claim is None:
            return Refusal(RESTRICTIONS, (f'persistentvolumeclaim "{name}" not found',))
        if "ReadWriteOncePod" in (claim["spec"].get("accessModes") or ()):
            names.add(name)
    return frozenset(names)


async def bind_volumes(cluster: Cluster, known: Lookup, binding: Binding, node: str) -> None:
    """Say which volumes belong to which claims, or where one is to be made, and wait. Raises ApiError."""
    for volume, claim in binding.static:
        annotations = {**(volume["metadata"].get("annotations") or {}), BOUND_BY_CONTROLLER: "yes"}
        patch = {"metadata": _guarded(volume, annotations), "spec": {"claimRef": _reference(claim)}}
        await cluster.patch(PERSISTENT_VOLUMES, volume, patch)
    for claim in binding.provision:
        annotations = {**(claim["metadata"].get("annotations") or {}), SELECTED_NODE: node}
        await cluster.patch(PERSISTENT_VOLUME_CLAIMS, claim, {"metadata": _guarded(claim, annotations)})
    waiting = [claim for _, claim in binding.static] + list(binding.provision)
    deadline = cluster.clock.monotonic() + PATIENCE
    while not all(_is_bound(known, claim) for claim in waiting):
        if cluster.clock.monotonic() > deadline:
            raise SchedulerError(
                'running PreBind plugin "VolumeBinding": binding volumes: context deadline exceeded'
            )
        await cluster.clock.sleep(INTERVAL)


def _guarded(obj: Obj, annotations: dict[str, str]) -> Obj:
    return {"resourceVersion": obj["metadata"]["resourceVersion"], "annotations": annotations}


def _reference(claim: Obj) -> Obj:
    metadata = claim["metadata"]
    return {
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
    }


def _is_bound(known: Lookup, claim: Obj) -> bool:
    current = known.claim(claim["metadata"]["namespace"], claim["metadata"]["name"])
    if current is None:
        raise SchedulerError(f'persistentvolumeclaim "{claim["metadata"]["name"]}" not found')
    bound = BIND_COMPLETED in (current["metadata"].get("annotations") or {})
    return bool(current["spec"].get("volumeName")) and bound
