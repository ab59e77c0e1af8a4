"""What the scheduler writes into a pod's status: the condition PodScheduled, and the nominated node.

Writes of one pod follow each other, of many pods they go side by side; the latest outcome wins.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.view import View
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.kube.informer import Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import PODS
from edgelab.objects.metadata import condition, key_of, set_condition
from edgelab.objects.status import ApiError

WRITERS = 16
UNSCHEDULABLE, ERROR = "Unschedulable", "SchedulerError"


@dataclass(slots=True)
class _Outcome:
    uid: str
    reason: str = ""
    message: str = ""
    nominated: str | None = None
    """The new value; None leaves it as it is."""


class Outcomes:
    """A module."""

    def __init__(self, cluster: Cluster, pods: View, scheduler: str) -> None:
        self.name = f"{scheduler}/status"
        self._cluster = cluster
        self._pods = pods
        self._wanted: dict[Key, _Outcome] = {}
        self._queue = WorkQueue(self.name, self._write, cluster.clock, [pods], workers=WRITERS)

    async def run(self) -> None:
        """Write."""
        await self._queue.run()

    def refused(self, pod: Obj, reason: str, message: str, nominated: str | None) -> None:
        """The pod has no node, for this reason; room for it may have been made on one."""
        wanted = self._outcome(pod)
        wanted.reason, wanted.message = reason, message
        self._nominate(pod, wanted, nominated)

    def nominate(self, pod: Obj, node: str) -> None:
        """Room was made for the pod, or (empty) it has none any more."""
        self._nominate(pod, self._outcome(pod), node)

    def _outcome(self, pod: Obj) -> _Outcome:
        wanted = self._wanted.get(key_of(pod))
        if wanted is None or wanted.uid != pod["metadata"]["uid"]:
            wanted = self._wanted[key_of(pod)] = _Outcome(pod["metadata"]["uid"])
        return wanted

    def _nominate(self, pod: Obj, wanted: _Outcome, node: str | None) -> None:
        wanted.nominated = node if node is not None else wanted.nominated
        self._queue.add_object(pod)

    async def _write(self, key: Key) -> None:
        wanted = self._wanted.get(key)
        pod = self._pods.get(key[1], key[0])
        if (
            wanted is None
            or pod is None
            or pod["metadata"]["uid"] != wanted.uid
            or pod["spec"].get("nodeName")
        ):
            self._wanted.pop(key, None)
            return
        patch = self._patch(pod, wanted)
        if patch:
            version = {"resourceVersion": pod["metadata"]["resourceVersion"]}
            try:
                await self._cluster.patch(PODS, pod, {"metadata": version, "status": patch}, "status")
            except ApiError as error:
                if error.code != 404:
                    raise
        if self._wanted.get(key) is wanted:
            del self._wanted[key]

    def _patch(self, pod: Obj, wanted: _Outcome) -> Obj:
        status = pod.get("status") or {}
        patch: Obj = {}
        old = condition(pod, "PodScheduled") or {}
        told = (old.get("status"), old.get("reason"), old.get("message"))
        if wanted.reason and told != ("False", wanted.reason, wanted.message):
            patch["conditions"] = self._conditions(pod, wanted)
        if wanted.nominated is not None and wanted.nominated != (status.get("nominatedNodeName") or ""):
            patch["nominatedNodeName"] = wanted.nominated or None
        return patch

    def _conditions(self, pod: Obj, wanted: _Outcome) -> list[Obj]:
        draft = {"status": {"conditions": copy.copy((pod.get("status") or {}).get("conditions") or [])}}
        new = {
            "type": "PodScheduled",
            "status": "False",
            "reason": wanted.reason,
            "message": wanted.message,
            "lastProbeTime": None,
            "lastTransitionTime": self._cluster.stamp(),
        }
        if "generation" in pod["metadata"]:
            new["observedGeneration"] = pod["metadata"]["generation"]
        set_condition(draft, new)
        return draft["status"]["conditions"]
