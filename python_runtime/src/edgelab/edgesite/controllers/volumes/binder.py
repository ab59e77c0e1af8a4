"""The binder: brings claims and volumes together, and reclaims volumes whose claim is gone.

Receives claims, volumes, storage classes, pods and nodes. Writes `claimRef`, `volumeName`, phases and
events. One worker: two claims never take the same volume. What a volume holds lies on some node;
only the object is deleted, where kube-controller-manager would delete the data of a test, too.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.kinds import STORAGE_CLASSES
from edgelab.edgesite.controllers.support.recorder import Recorder
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.edgesite.controllers.volumes import matching
from edgelab.edgesite.controllers.volumes.matching import BIND_COMPLETED
from edgelab.edgesite.controllers.volumes.usage import claims_of, users_of
from edgelab.edgesite.controllers.volumes.writes import Writes, phase_of
from edgelab.kube.informer import Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS

DEFAULT_CLASS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
PROVISIONER = ("volume.beta.kubernetes.io/storage-provisioner", "volume.kubernetes.io/storage-provisioner")
MIGRATED_TO = "pv.kubernetes.io/migrated-to"
BUILT_IN_PROVISIONERS = "kubernetes.io/"


class VolumeBinder:
    """A module; its queue holds the keys of claims, and of volumes (which have no namespace)."""

    name = "persistentvolume-binder"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._claims = cluster.view(PERSISTENT_VOLUME_CLAIMS)
        self._volumes = cluster.view(PERSISTENT_VOLUMES)
        self._classes = cluster.view(STORAGE_CLASSES)
        self._pods = cluster.view(PODS)
        self._nodes = cluster.view(NODES)
        self._events = Recorder(cluster.api, cluster.clock, "persistentvolume-controller")
        self._writes = Writes(cluster, self._events)
        needs = [self._claims, self._volumes, self._classes, self._pods, self._nodes]
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, needs, workers=1)
        self._claims.add_handler(self._on_claim)
        self._volumes.add_handler(self._on_volume)
        self._classes.add_handler(lambda _, __, new: self._queue_pending(new["metadata"]["name"]))
        self._pods.add_handler(self._on_pod)

    async def run(self) -> None:
        """Bind and reclaim."""
        await self._queue.run()

    def _on_claim(self, event_type: str, old: Obj | None, new: Obj) -> None:
        self._queue.add_object(new)
        if volume := new["spec"].get("volumeName"):
            self._queue.add(("", volume))

    def _on_volume(self, event_type: str, old: Obj | None, new: Obj) -> None:
        self._queue.add_object(new)
        if reference := new["spec"].get("claimRef"):
            self._queue.add((reference.get("namespace", ""), reference["name"]))
        elif (new.get("status") or {}).get("phase") == "Available":
            self._queue_pending(matching.class_of(new))

    def _on_pod(self, event_type: str, old: Obj | None, new: Obj) -> None:
        if old is not None and old["spec"].get("nodeName") == new["spec"].get("nodeName"):
            return
        for name in claims_of(new):
            claim = self._claims.get(name, new["metadata"]["namespace"])
            if claim is not None and phase_of(claim) == "Pending":
                self._queue.add_object(claim)

    def _queue_pending(self, name: str) -> None:
        for claim in self._claims.all():
            if not claim["spec"].get("volumeName") and matching.class_of(claim) in ("", name):
                self._queue.add_object(claim)

    async def _reconcile(self, key: Key) -> None:
        if key[0]:
            claim = self._claims.get(key[1], key[0])
            if claim is not None:
                await self._claim(claim)
            return
        volume = self._volumes.get(key[1])
        if volume is not None:
            await self._volume(volume)

    # Claims

    async def _claim(self, claim: Obj) -> None:
        if BIND_COMPLETED in matching.notes_of(claim):
            await self._bound_claim(claim)
        elif name := claim["spec"].get("volumeName"):
            await self._named(claim, name)
        else:
            await self._unbound(claim)

    async def _unbound(self, claim: Obj) -> None:
        storage_class = self._classes.get(matching.class_of(claim))
        waits = (storage_class or {}).get("volumeBindingMode") == "WaitForFirstConsumer"
        users = users_of(claim, self._pods.in_namespace(claim["metadata"]["namespace"])) if waits else []
        places = [self._nodes.get(pod["spec"]["nodeName"]) for pod in users if pod["spec"].get("nodeName")]
        node = next((place for place in places if place is not None), None)
        volume = matching.best(claim, self._volumes.all(), waits=waits, node=node)
        if volume is not None:
            await self._writes.bind(volume, claim)
        elif not await self._give_class(claim):
            await self._tell_why(claim, storage_class, waits, users)

    async def _give_class(self, claim: Obj) -> bool:
        """A claim that says nothing of a class gets the default one, also afterwards."""
        if matching.has_class(claim):
            return False
        marked = [
            item
            for item in self._classes.all()
            if any(matching.notes_of(item).get(n) == "true" for n in DEFAULT_CLASS)
        ]
        if not marked:
            return False
        marked.sort(key=lambda item: item["metadata"]["name"])
        newest = max(marked, key=lambda item: str(item["metadata"].get("creationTimestamp", "")))
        spec = {**claim["spec"], "storageClassName": newest["metadata"]["name"]}
        await self._cluster.update(PERSISTENT_VOLUME_CLAIMS, {**claim, "spec": spec})
        return True

    async def _tell_why(self, claim: Obj, storage_class: Obj | None, waits: bool, users: list[Obj]) -> None:
        name = matching.class_of(claim)
        if waits:
            names = [pod["metadata"]["name"] for pod in users if not pod["spec"].get("nodeName")]
            if names:
                text = f"waiting for pod{'s' if len(names) > 1 else ''} {','.join(names)} to be scheduled"
                await self._events.normal(claim, "WaitForPodScheduled", text)
            else:
                text = "waiting for first consumer to be created before binding"
                await self._events.normal(claim, "WaitForFirstConsumer", text)
        elif not name:
            text = "no persistent volumes available for this claim and no storage class is set"
            await self._events.normal(claim, "FailedBinding", text)
        elif storage_class is None:
            text = f'storageclass.storage.k8s.io "{name}" not found'
            await self._events.warning(claim, "ProvisioningFailed", text)
        else:
            await self._provision(claim, storage_class["provisioner"])
        await self._writes.claim_status(claim, "Pending", None)

    async def _provision(self, claim: Obj, provisioner: str) -> None:
        """Somebody else's work; the claim says whose."""
        if provisioner.startswith(BUILT_IN_PROVISIONERS):
            text = "no volume plugin matched"
            await self._events.warning(claim, "ProvisioningFailed", text)
            return
        notes = matching.notes_of(claim)
        if any(notes.get(name) != provisioner for name in PROVISIONER):
            marked = {**notes, **dict.fromkeys(PROVISIONER, provisioner)}
            metadata = {**claim["metadata"], "annotations": marked}
            await self._cluster.update(PERSISTENT_VOLUME_CLAIMS, {**claim, "metadata": metadata})
        text = (
            f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or "
            "manually by the system administrator. If volume creation is delayed, please verify that the "
            "provisioner is running and correctly registered."
        )
        await self._events.normal(claim, "ExternalProvisioning", text)

    async def _named(self, claim: Obj, name: str) -> None:
        """The claim wants this very volume."""
        volume = self._volumes.get(name)
        if volume is None:
            await self._writes.claim_status(claim, "Pending", None)
        elif not volume["spec"].get("claimRef"):
            why = matching.problem(volume, claim)
            if why is None:
                await self._writes.bind(volume, claim)
                return
            text = f'Cannot bind to requested volume "{name}": {why}'
            await self._events.warning(claim, "VolumeMismatch", text)
            await self._writes.claim_status(claim, "Pending", None)
        elif matching.is_bound_to(volume, claim):
            await self._writes.bind(volume, claim)
        else:
            text = f'volume "{name}" already bound to a different claim.'
            await self._events.warning(claim, "FailedBinding", text)
            await self._writes.claim_status(claim, "Pending", None)

    async def _bound_claim(self, claim: Obj) -> None:
        """Once bound, a claim can only stay so or lose its volume."""
        name = claim["spec"].get("volumeName")
        volume = self._volumes.get(name) if name else None
        if volume is None:
            what = "its PersistentVolume" if name else "reference to PersistentVolume"
            text = f"Bound claim has lost {what}. Data on the volume is lost!"
            await self._lose(claim, "ClaimLost", text)
            return
        reference = volume["spec"].get("claimRef")
        if not reference or reference.get("uid") == claim["metadata"]["uid"]:
            await self._writes.bind(volume, claim)
        else:
            text = "Two claims are bound to the same volume, this one is bound incorrectly"
            await self._lose(claim, "ClaimMisbound", text)

    async def _lose(self, claim: Obj, reason: str, text: str) -> None:
        if phase_of(claim) != "Lost":
            changed = await self._writes.claim_status(claim, "Lost", None)
            await self._events.warning(changed, reason, text)

    # Volumes

    async def _volume(self, volume: Obj) -> None:
        reference = volume["spec"].get("claimRef")
        if not reference or not reference.get("uid"):
            await self._writes.volume_phase(volume, "Available")
            return
        claim = self._claims.get(reference["name"], reference.get("namespace", ""))
        if claim is not None and claim["metadata"]["uid"] != reference["uid"]:
            claim = None
        name = volume["metadata"]["name"]
        if claim is None:
            await self._reclaim(volume)
        elif claim["spec"].get("volumeName") == name:
            await self._writes.volume_phase(volume, "Bound")
        elif claim["spec"].get("volumeName"):
            await self._writes.give_back(volume)

    async def _reclaim(self, volume: Obj) -> None:
        """The claim is gone: keep the volume, or let it go with the claim."""
        if phase_of(volume) not in ("Released", "Failed"):
            volume = await self._writes.volume_phase(volume, "Released")
        policy = volume["spec"].get("persistentVolumeReclaimPolicy", "Retain")
        if policy == "Recycle":
            await self._writes.fail(volume, "VolumeFailedRecycle", "No recycler plugin found for the volume!")
        elif policy == "Delete" and not _has_deleter(volume):
            problem = cannot_delete(volume)
            if problem is None:
                await self._cluster.delete(PERSISTENT_VOLUMES, volume)
            else:
                await self._writes.fail(volume, "VolumeFailedDelete", problem)


def _has_deleter(volume: Obj) -> bool:
    """Whether somebody else deletes it: who has provisioned it, or its CSI driver."""
    notes = matching.notes_of(volume)
    return any(name in notes for name in (matching.PROVISIONED_BY, MIGRATED_TO)) or "csi" in volume["spec"]


def cannot_delete(volume: Obj) -> str | None:
    """Why a volume is not deleted with its claim, as kube-controller-manager says it."""
    path = (volume["spec"].get("hostPath") or {}).get("path")
    if path is None:
        name = volume["metadata"]["name"]
        return f'error getting deleter volume plugin for volume "{name}": no deletable volume plugin matched'
    parts = PurePosixPath(path).parts
    if parts[:2] == ("/", "tmp") and len(parts) > 2:
        return None
    return f'host_path deleter only supports /tmp/.+ but received provided "{path}"'
