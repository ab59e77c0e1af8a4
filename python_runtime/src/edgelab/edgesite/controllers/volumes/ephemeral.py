"""Claims for the ephemeral volumes of pods: made from a template in the pod, and owned by it.

Receives pods and claims; creates claims. Fact: pkg/controller/volume/ephemeral.
"""

from __future__ import annotations

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.recorder import Recorder
from edgelab.edgesite.controllers.support.workqueue import Again, WorkQueue
from edgelab.edgesite.controllers.volumes.usage import claims_of
from edgelab.kube.informer import ADDED, DELETED, Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import PERSISTENT_VOLUME_CLAIMS, PODS
from edgelab.objects.metadata import is_controlled_by, is_deleting, owner_reference
from edgelab.objects.status import ApiError


class EphemeralVolumeController:
    """A module; its queue holds the keys of pods."""

    name = "ephemeral-volume-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._pods = cluster.view(PODS)
        self._claims = cluster.view(PERSISTENT_VOLUME_CLAIMS)
        self._events = Recorder(cluster.api, cluster.clock, "ephemeral_volume")
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, [self._pods, self._claims])
        self._pods.add_handler(self._on_pod)
        self._claims.add_handler(self._on_claim)

    async def run(self) -> None:
        """Make claims."""
        await self._queue.run()

    def _on_pod(self, event_type: str, old: Obj | None, new: Obj) -> None:
        """A pod's volumes never change."""
        if event_type == ADDED and not is_deleting(new) and any(_templates(new)):
            self._queue.add_object(new)

    def _on_claim(self, event_type: str, old: Obj | None, new: Obj) -> None:
        """One that somebody has deleted is made again for the pod that needs it."""
        if event_type != DELETED:
            return
        name = new["metadata"]["name"]
        for pod in self._pods.in_namespace(new["metadata"]["namespace"]):
            if name in claims_of(pod) and any(_templates(pod)):
                self._queue.add_object(pod)

    async def _reconcile(self, key: Key) -> None:
        pod = self._pods.get(key[1], key[0])
        if pod is None or is_deleting(pod):
            return
        for volume, template in _templates(pod):
            problem = await self._ensure(pod, volume, template)
            if problem:
                await self._events.warning(pod, "FailedBinding", f"ephemeral volume {volume}: {problem}")
                raise Again(problem)

    async def _ensure(self, pod: Obj, volume: str, template: Obj) -> str:
        """Make a claim that is missing; why there cannot be one, or nothing."""
        metadata = pod["metadata"]
        name = f"{metadata['name']}-{volume}"
        present = self._claims.get(name, metadata["namespace"])
        if present is not None:
            owned = is_controlled_by(present, pod)
            what = f"PVC {metadata['namespace']}/{name} was not created for pod {metadata['namespace']}"
            return "" if owned else f"{what}/{metadata['name']} (pod is not owner)"
        named = {"apiVersion": PODS.api_version, "kind": PODS.kind, **pod}
        made = template.get("metadata") or {}
        kept = {field: made[field] for field in ("annotations", "labels") if made.get(field)}
        claim = {
            "metadata": {"name": name, **kept, "ownerReferences": [owner_reference(named)]},
            "spec": template["spec"],
        }
        try:
            await self._cluster.create(PERSISTENT_VOLUME_CLAIMS, claim, metadata["namespace"])
        except ApiError as error:
            return f"create PVC {name}: {error.message}"
        return ""


def _templates(pod: Obj) -> list[tuple[str, Obj]]:
    """The ephemeral volumes of a pod, with what their claims are made from."""
    volumes = pod["spec"].get("volumes") or ()
    return [
        (volume["name"], volume["ephemeral"].get("volumeClaimTemplate") or {"spec": {}})
        for volume in volumes
        if "ephemeral" in volume
    ]
