"""What is done to a StatefulSet's pods and claims, with the events that tell of it.

Fact: pkg/controller/statefulset/stateful_pod_control.go.
"""

from __future__ import annotations

from edgelab.edgesite.controllers.statefulset import identity, retention
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.recorder import Recorder
from edgelab.edgesite.controllers.support.workqueue import Again
from edgelab.kube.interface import Obj
from edgelab.kube.resources import PERSISTENT_VOLUME_CLAIMS, PODS
from edgelab.objects.status import ApiError


class Blocked(Again):
    """A pod cannot be made now; the message says why."""


class Actions:
    """Creates, mends and deletes the pods of one StatefulSet."""

    def __init__(self, cluster: Cluster, events: Recorder, stateful_set: Obj) -> None:
        self._cluster = cluster
        self._events = events
        self._set = stateful_set
        self._claims = cluster.view(PERSISTENT_VOLUME_CLAIMS)

    async def create(self, pod: Obj) -> None:
        """Make the pod, its claims first."""
        try:
            await self._create_claims(pod)
        except (ApiError, Blocked) as error:
            await self._tell("Create", pod, error)
            raise
        try:
            await self._cluster.create(PODS, pod, self._set["metadata"]["namespace"])
        except ApiError as error:
            if error.reason == "AlreadyExists":
                raise
            await self._tell("Create", pod, error)
            raise
        await self._own_claims(pod)
        await self._tell("Create", pod, None)

    async def delete(self, pod: Obj) -> None:
        """Delete the pod."""
        try:
            await self._cluster.delete(PODS, pod)
        except ApiError as error:
            await self._tell("Delete", pod, error)
            raise
        await self._tell("Delete", pod, None)

    async def complete_claims(self, pod: Obj) -> None:
        """Make the claims that a waiting pod lacks."""
        await self._create_claims(pod)
        await self._own_claims(pod)

    async def restore(self, pod: Obj) -> None:
        """Put the pod's name, volumes and claims right."""
        changed = identity.restored(self._set, pod)
        try:
            if not identity.storage_matches(self._set, pod):
                await self._create_claims(changed)
            claims_are_right = self.claims_are_right(pod)
            if not claims_are_right:
                await self._own_claims(changed)
            if changed == pod and claims_are_right:
                return
            await self._cluster.update(PODS, changed)
        except (ApiError, Blocked) as error:
            await self._tell("Update", pod, error)
            raise
        await self._tell("Update", pod, None)

    def claims_are_right(self, pod: Obj) -> bool:
        """Whether the claims that exist have the owners that the policy wants."""
        return all(retention.is_right(claim, self._set, pod) for claim in self._present(pod))

    async def own_claims(self, pod: Obj) -> None:
        """Give the pod's claims the owners that the policy wants."""
        await self._own_claims(pod)

    def has_stale_claims(self, pod: Obj) -> bool:
        """Whether claims of an earlier pod of this name are still to go."""
        if not retention.policy(self._set)[1]:
            return False
        return any(retention.is_stale(claim, pod) for claim in self._present(pod))

    def _present(self, pod: Obj) -> list[Obj]:
        namespace = self._set["metadata"]["namespace"]
        names = [claim["metadata"]["name"] for claim in identity.claims(self._set, pod).values()]
        return [found for name in names if (found := self._claims.get(name, namespace)) is not None]

    async def _create_claims(self, pod: Obj) -> None:
        problems = []
        for claim in identity.claims(self._set, pod).values():
            name, namespace = claim["metadata"]["name"], claim["metadata"]["namespace"]
            present = self._claims.get(name, namespace)
            if present is not None:
                if present["metadata"].get("deletionTimestamp"):
                    problems.append(f"pvc {name} is being deleted")
                continue
            try:
                await self._cluster.create(PERSISTENT_VOLUME_CLAIMS, claim, namespace)
            except ApiError as error:
                problems.append(f"failed to create PVC {name}: {error.message}")
                if error.reason != "AlreadyExists":
                    await self._tell_claim(pod, name, error)
            else:
                await self._tell_claim(pod, name, None)
        if problems:
            raise Blocked(problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")

    async def _own_claims(self, pod: Obj) -> None:
        for claim in self._present(pod):
            if retention.has_stranger(claim, self._set, pod):
                text = (
                    f"PersistentVolumeClaim {claim['metadata']['name']} has a conflicting OwnerReference "
                    "that acts as a manging controller, the retention policy is ignored for this claim"
                )
                await self._events.warning(self._set, "ConflictingController", text)
            if not retention.is_right(claim, self._set, pod):
                owned = retention.with_owners(claim, self._set, pod)
                await self._cluster.update(PERSISTENT_VOLUME_CLAIMS, owned)

    async def _tell(self, verb: str, pod: Obj, error: Exception | None) -> None:
        text = f"{verb} Pod {pod['metadata']['name']} in StatefulSet {self._set['metadata']['name']}"
        if error is None:
            await self._events.normal(self._set, f"Successful{verb}", f"{text} successful")
        else:
            await self._events.warning(self._set, f"Failed{verb}", f"{text} failed error: {error}")

    async def _tell_claim(self, pod: Obj, claim: str, error: ApiError | None) -> None:
        in_set = f"Pod {pod['metadata']['name']} in StatefulSet {self._set['metadata']['name']}"
        if error is None:
            text = f"Create Claim {claim} {in_set} success"
            await self._events.normal(self._set, "SuccessfulCreate", text)
        else:
            text = f"Create Claim {claim} for {in_set} failed error: {error}"
            await self._events.warning(self._set, "FailedCreate", text)
