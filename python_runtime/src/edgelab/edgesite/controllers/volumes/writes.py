"""What the binder writes: each step leaves a state from which the next look goes on."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.recorder import Recorder
from edgelab.edgesite.controllers.volumes import matching
from edgelab.edgesite.controllers.volumes.matching import BIND_COMPLETED, BOUND_BY_CONTROLLER
from edgelab.kube.interface import Obj
from edgelab.kube.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES


class Writes:
    """Claims, volumes, their phases, and events of failures."""

    def __init__(self, cluster: Cluster, events: Recorder) -> None:
        self._cluster = cluster
        self._events = events

    async def bind(self, volume: Obj, claim: Obj) -> None:
        """The volume first, so that nobody else takes it; each step is repeated when it was interrupted."""
        volume = await self.volume_phase(await self._point_to_claim(volume, claim), "Bound")
        name = volume["metadata"]["name"]
        notes, spec = dict(matching.notes_of(claim)), claim["spec"]
        if spec.get("volumeName") != name:
            spec = {**spec, "volumeName": name}
            notes.setdefault(BOUND_BY_CONTROLLER, "yes")
        if spec is not claim["spec"] or BIND_COMPLETED not in notes:
            notes.setdefault(BIND_COMPLETED, "yes")
            changed = {**claim, "spec": spec, "metadata": {**claim["metadata"], "annotations": notes}}
            claim = await self._cluster.update(PERSISTENT_VOLUME_CLAIMS, changed)
        await self.claim_status(claim, "Bound", volume)

    async def _point_to_claim(self, volume: Obj, claim: Obj) -> Obj:
        notes, metadata = dict(matching.notes_of(volume)), claim["metadata"]
        if not matching.is_bound_to(volume, claim):
            notes.setdefault(BOUND_BY_CONTROLLER, "yes")
        reference = {
            "kind": PERSISTENT_VOLUME_CLAIMS.kind,
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "apiVersion": PERSISTENT_VOLUME_CLAIMS.api_version,
            "resourceVersion": metadata.get("resourceVersion", ""),
        }
        present = volume["spec"].get("claimRef") or {}
        if present.get("uid") == metadata["uid"] and notes == matching.notes_of(volume):
            return volume
        changed = {**volume, "spec": {**volume["spec"], "claimRef": reference}}
        if notes:
            changed["metadata"] = {**volume["metadata"], "annotations": notes}
        return await self._cluster.update(PERSISTENT_VOLUMES, changed)

    async def claim_status(self, claim: Obj, phase: str, volume: Obj | None) -> Obj:
        """Write a claim's phase, and what it has got of a volume."""
        old = claim.get("status") or {}
        status: dict[str, Any] = {k: v for k, v in old.items() if k not in ("accessModes", "capacity")}
        status["phase"] = phase
        if volume is not None:
            status["accessModes"] = volume["spec"].get("accessModes") or []
            same = old.get("phase") == phase and "capacity" in old
            status["capacity"] = old["capacity"] if same else volume["spec"].get("capacity") or {}
        if status == old:
            return claim
        return await self._cluster.update(PERSISTENT_VOLUME_CLAIMS, {**claim, "status": status}, "status")

    async def volume_phase(self, volume: Obj, phase: str, message: str = "") -> Obj:
        """Write a volume's phase."""
        if phase_of(volume) == phase:
            return volume
        status = {"phase": phase, "lastPhaseTransitionTime": self._cluster.stamp()}
        if message:
            status["message"] = message
        return await self._cluster.update(PERSISTENT_VOLUMES, {**volume, "status": status}, "status")

    async def give_back(self, volume: Obj) -> None:
        """The claim was satisfied by another volume."""
        notes = dict(matching.notes_of(volume))
        spec = dict(volume["spec"])
        if notes.pop(BOUND_BY_CONTROLLER, None) is not None:
            del spec["claimRef"]
        else:
            spec["claimRef"] = {
                k: v for k, v in spec["claimRef"].items() if k not in ("uid", "resourceVersion")
            }
        metadata = {name: value for name, value in volume["metadata"].items() if name != "annotations"}
        if notes:
            metadata["annotations"] = notes
        changed = await self._cluster.update(
            PERSISTENT_VOLUMES, {**volume, "spec": spec, "metadata": metadata}
        )
        await self.volume_phase(changed, "Available")

    async def fail(self, volume: Obj, reason: str, text: str) -> None:
        """Say once why a volume could not be reclaimed."""
        if phase_of(volume) != "Failed":
            changed = await self.volume_phase(volume, "Failed", text)
            await self._events.warning(changed, reason, text)


def phase_of(obj: Obj) -> str:
    """`status.phase`; empty when there is none."""
    return str((obj.get("status") or {}).get("phase", ""))
