"""Removes pods to make room for a more important one: told, deleted with their grace, noted as an event."""

from __future__ import annotations

import asyncio

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.view import View
from edgelab.edgesite.scheduler.events import PREEMPTED, EventRecorder
from edgelab.edgesite.scheduler.podinfo import PodInfo
from edgelab.edgesite.scheduler.preemption import REASON, Candidate
from edgelab.kube.interface import Obj
from edgelab.kube.resources import PODS
from edgelab.objects.metadata import is_deleting, set_condition
from edgelab.objects.status import ApiError

ATTEMPTS = 5
"""How often a victim's status is written again when somebody else changed it meanwhile."""


class Evictions:
    """Does what a decision for preemption asks for."""

    def __init__(self, cluster: Cluster, pods: View, events: EventRecorder) -> None:
        self._cluster = cluster
        self._pods = pods
        self._events = events

    async def evict(self, pod: Obj, candidate: Candidate) -> None:
        """Remove all victims. Raises ApiError and Unreachable."""
        await asyncio.gather(*(self._remove(pod, victim, candidate.node) for victim in candidate.victims))

    async def _remove(self, pod: Obj, victim: PodInfo, node: str) -> None:
        text = f"{pod['spec'].get('schedulerName')}: preempting to accommodate a higher priority pod"
        if not await self._announce(victim, text):
            return
        current = self._current(victim)
        if current is None:
            return
        if not is_deleting(current) and not await self._cluster.delete(PODS, current):
            return
        note = f"Preempted by pod {pod['metadata']['uid']} on node {node}"
        self._events.record(PREEMPTED, victim.obj, note, related=pod)

    async def _announce(self, victim: PodInfo, text: str) -> bool:
        """Write the condition DisruptionTarget; False when the victim is gone."""
        for attempt in range(ATTEMPTS):
            current = self._current(victim)
            if current is None:
                return False
            try:
                await self._write(current, text)
            except ApiError as error:
                if error.code == 404:
                    return False
                if error.code != 409 or attempt == ATTEMPTS - 1:
                    raise
                await self._cluster.clock.sleep(0)
            else:
                return True
        return False

    async def _write(self, victim: Obj, text: str) -> None:
        status = victim.get("status") or {}
        draft = {"status": {"conditions": list(status.get("conditions") or [])}}
        new = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": REASON,
            "message": text,
            "lastProbeTime": None,
            "lastTransitionTime": self._cluster.stamp(),
        }
        if "generation" in victim["metadata"]:
            new["observedGeneration"] = victim["metadata"]["generation"]
        set_condition(draft, new)
        version = {"resourceVersion": victim["metadata"]["resourceVersion"]}
        await self._cluster.patch(PODS, victim, {"metadata": version, **draft}, "status")

    def _current(self, victim: PodInfo) -> Obj | None:
        current = self._pods.get(victim.name, victim.namespace)
        return current if current is not None and current["metadata"]["uid"] == victim.uid else None
