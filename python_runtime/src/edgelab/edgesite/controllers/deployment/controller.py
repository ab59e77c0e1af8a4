"""The controller: finds or makes the new ReplicaSet, moves sizes, reports.

Receives Deployments, ReplicaSets and pods. Writes ReplicaSets, the Deployments' revision annotation
and status, and events.
"""

from __future__ import annotations

import copy

from edgelab.edgesite.controllers.deployment import progress, revisions, rollback, rollout
from edgelab.edgesite.controllers.support.adoption import claim
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.pods import is_finished
from edgelab.edgesite.controllers.support.recorder import Recorder
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.kube.informer import DELETED, Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from edgelab.objects.metadata import condition, controller_of, is_deleting, labels
from edgelab.objects.selectors import from_object
from edgelab.objects.status import ApiError


class DeploymentController:
    """A module; its queue holds the keys of Deployments."""

    name = "deployment-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._deployments = cluster.view(DEPLOYMENTS)
        self._sets = cluster.view(REPLICA_SETS)
        self._pods = cluster.view(PODS)
        self._events = Recorder(cluster.api, cluster.clock, self.name)
        needs = [self._deployments, self._sets, self._pods]
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, needs)
        self._deployments.add_handler(lambda _, __, new: self._queue.add_object(new))
        self._sets.add_handler(self._on_replica_set)
        self._pods.add_handler(self._on_pod)

    async def run(self) -> None:
        """Keep every Deployment rolling towards its template."""
        await self._queue.run()

    def _on_replica_set(self, event_type: str, old: Obj | None, new: Obj) -> None:
        for replica_set in (old, new):
            owner = controller_of(replica_set) if replica_set else None
            if owner is not None and owner["kind"] == "Deployment":
                self._queue.add((new["metadata"]["namespace"], owner["name"]))
        if controller_of(new) is None and event_type != DELETED:
            for deployment in self._deployments.in_namespace(new["metadata"]["namespace"]):
                if from_object(deployment["spec"].get("selector")).matches(labels(new)):
                    self._queue.add_object(deployment)

    def _on_pod(self, event_type: str, old: Obj | None, new: Obj) -> None:
        """A Recreate rollout goes on when the last old pod is gone."""
        if event_type != DELETED:
            return
        owner = controller_of(new)
        replica_set = self._sets.get(owner["name"], new["metadata"]["namespace"]) if owner else None
        parent = controller_of(replica_set) if replica_set else None
        if parent is not None:
            self._queue.add((new["metadata"]["namespace"], parent["name"]))

    async def _reconcile(self, key: Key) -> float | None:
        deployment = self._deployments.get(key[1], key[0])
        if deployment is None:
            return None
        replica_sets = await claim(self._cluster, REPLICA_SETS, deployment, self._sets.claimable(deployment))
        rollout_ = _Pass(self._cluster, self._events, deployment, revisions.oldest_first(replica_sets))
        if is_deleting(deployment):
            return await rollout_.report()
        wanted = rollback.target(deployment)
        if wanted is not None and not deployment["spec"].get("paused"):
            await rollback.roll_back(self._cluster, self._events, deployment, replica_sets, wanted)
            return None
        pods = [pod for rs in replica_sets for pod in self._pods.owned(rs["metadata"]["uid"])]
        return await rollout_.run(pods)


class _Pass:
    """One look at one Deployment."""

    def __init__(self, cluster: Cluster, events: Recorder, deployment: Obj, replica_sets: list[Obj]) -> None:
        self.cluster = cluster
        self.events = events
        self.deployment = copy.deepcopy(deployment)
        self.sets = {rs["metadata"]["name"]: rs for rs in replica_sets}
        self.stored = deployment.get("status")
        """The status as the server has it; `deployment` carries what this pass adds to it."""
        self.limit = rollout.limits(deployment)
        self.now = cluster.clock.now()

    @property
    def new(self) -> Obj | None:
        """The ReplicaSet of the present template, if it exists."""
        return revisions.find_new(self.deployment, list(self.sets.values()))

    def old(self) -> list[Obj]:
        """All others, oldest first."""
        new = self.new
        return [rs for rs in self.sets.values() if new is None or rs is not new]

    async def run(self, pods: list[Obj]) -> float | None:
        """Do what can be done now."""
        paused = bool(self.deployment["spec"].get("paused"))
        await self._note_pause(paused)
        if paused or self._was_resized():
            if not paused:
                await self._ensure_new(create=False)
            await self._scale()
        elif self.limit.rolling:
            await self._roll()
        else:
            await self._recreate(pods)
        if paused or self._is_complete():
            await self._clean_up()
        return await self.report()

    async def report(self) -> float | None:
        """Write the status if it has changed."""
        new, replica_sets = self.new, list(self.sets.values())
        status = progress.status_of(self.deployment, new, replica_sets, self.limit, self.now)
        again = None
        if not self.deployment["spec"].get("paused"):
            again = progress.judge(self.deployment, new, status, self.limit.desired, self.now)
        if status != self.stored:
            await self._write_status(status)
        return again

    async def _roll(self) -> None:
        new = await self._ensure_new(create=True)
        total = sum(rollout.size(rs) for rs in self.sets.values())
        wanted = rollout.new_size(self.limit, new, total)
        if wanted != rollout.size(new):
            await self._resize(new, wanted)
            return
        for name, replicas in rollout.old_sizes(self.limit, new, self.old()).items():
            await self._resize(self.sets[name], replicas)

    async def _recreate(self, pods: list[Obj]) -> None:
        await self._ensure_new(create=False)
        for replica_set in self.old():
            if rollout.size(replica_set):
                await self._resize(replica_set, 0)
        new = self.new
        mine = new["metadata"]["uid"] if new else None
        if any(not is_finished(pod) and (controller_of(pod) or {}).get("uid") != mine for pod in pods):
            return
        new = await self._ensure_new(create=True)
        if rollout.size(new) != self.limit.desired:
            await self._resize(new, self.limit.desired)

    def _was_resized(self) -> bool:
        """Whether `spec.replicas` differs from what the active ReplicaSets were last written for."""
        active = [rs for rs in self.sets.values() if rollout.size(rs)]
        written = [revisions.number(rs, revisions.DESIRED) for rs in active]
        return any(value is not None and value != self.limit.desired for value in written)

    async def _scale(self) -> None:
        """Follow a new `spec.replicas` without moving the rollout on."""
        active, new = [rs for rs in self.sets.values() if rollout.size(rs)], self.new
        latest = active[0] if len(active) == 1 else new if not active else None
        if latest is not None:
            await self._resize(latest, self.limit.desired)
        elif new is not None and rollout.count_available(new) >= self.limit.desired:
            for replica_set in self.old():
                await self._resize(replica_set, 0)
        elif self.limit.rolling and active:
            maxima = {rs["metadata"]["name"]: revisions.number(rs, revisions.MAXIMUM) or 0 for rs in active}
            for name, replicas in rollout.proportional(self.limit, active, maxima).items():
                await self._resize(self.sets[name], replicas)

    async def _ensure_new(self, *, create: bool) -> Obj:
        """The new ReplicaSet with the right revision; made if it is missing and `create` is set."""
        new = self.new
        number = max((revisions.revision(rs) for rs in self.old()), default=0) + 1
        if new is None:
            if not create:
                return {}
            new = await self._make(number)
        current = new["metadata"].get("annotations") or {}
        wanted = revisions.wanted_annotations(self.deployment, current, number, self.limit.maximum)
        # The sizes are written together with spec.replicas, by which a resize is recognised.
        for name in (revisions.DESIRED, revisions.MAXIMUM):
            wanted[name] = current.get(name, wanted[name])
        minimum = self.deployment["spec"].get("minReadySeconds", 0)
        if wanted != current or new["spec"].get("minReadySeconds", 0) != minimum:
            changed = copy.deepcopy(new)
            changed["metadata"]["annotations"] = wanted
            changed["spec"].pop("minReadySeconds", None)
            if minimum:
                changed["spec"]["minReadySeconds"] = minimum
            new = self._have(await self.cluster.update(REPLICA_SETS, changed))
        await self._note_new(new, wanted[revisions.REVISION])
        return new

    async def _make(self, number: int) -> Obj:
        total = sum(rollout.size(rs) for rs in self.sets.values())
        empty = {"spec": {"replicas": 0}}
        replicas = rollout.new_size(self.limit, empty, total)
        made = revisions.new_replica_set(self.deployment, replicas, self.limit.maximum, number)
        try:
            new = await self.cluster.create(REPLICA_SETS, made)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                await self._count_collision()
            raise
        await self._note_scaled(new, 0, replicas)
        self._progressed("NewReplicaSetCreated", f'Created new replica set "{new["metadata"]["name"]}"')
        return self._have(new)

    async def _count_collision(self) -> None:
        """Another template has this hash: the next pass hashes with a higher count."""
        status = dict(self.deployment.get("status") or {})
        status["collisionCount"] = int(status.get("collisionCount", 0)) + 1
        await self._write_status(status)

    async def _note_new(self, new: Obj, number: str) -> None:
        """Tell the Deployment its revision, and that its ReplicaSet was found."""
        current = condition(self.deployment, "Progressing")
        if current is None:
            self._progressed("FoundNewReplicaSet", f'Found new replica set "{new["metadata"]["name"]}"')
        if revisions.annotation(self.deployment, revisions.REVISION) != number:
            patch = {"metadata": {"annotations": {revisions.REVISION: number}}}
            answer = await self.cluster.patch(DEPLOYMENTS, self.deployment, patch)
            pending = self.deployment.get("status")
            self.deployment = copy.deepcopy(answer)
            if pending is not None:
                self.deployment["status"] = pending

    def _progressed(self, reason: str, message: str) -> None:
        status = self.deployment.setdefault("status", {})
        progress.put(status, "Progressing", ("True", reason, message), self.now)

    async def _note_pause(self, paused: bool) -> None:
        current = condition(self.deployment, "Progressing")
        reason = current["reason"] if current is not None else ""
        was = reason == "DeploymentPaused"
        if paused == was or reason == progress.LATE or not progress.has_deadline(self.deployment):
            return
        verdict = ("Unknown", "DeploymentPaused", "Deployment is paused")
        if not paused:
            verdict = ("Unknown", "DeploymentResumed", "Deployment is resumed")
        status = copy.deepcopy(self.deployment.get("status") or {})
        progress.put(status, "Progressing", verdict, self.now)
        await self._write_status(status)

    async def _write_status(self, status: Obj) -> None:
        self.deployment["status"] = status
        answer = await self.cluster.update(DEPLOYMENTS, self.deployment, "status")
        self.deployment = copy.deepcopy(answer)
        self.stored = answer.get("status")

    async def _resize(self, replica_set: Obj, replicas: int) -> None:
        """Write a size together with the numbers that it was computed from."""
        before = rollout.size(replica_set)
        annotations = dict(replica_set["metadata"].get("annotations") or {})
        annotations[revisions.DESIRED] = str(self.limit.desired)
        annotations[revisions.MAXIMUM] = str(self.limit.maximum)
        if before == replicas and annotations == replica_set["metadata"].get("annotations"):
            return
        changed = copy.deepcopy(replica_set)
        changed["metadata"]["annotations"] = annotations
        changed["spec"]["replicas"] = replicas
        written = self._have(await self.cluster.update(REPLICA_SETS, changed))
        if before != replicas:
            await self._note_scaled(written, before, replicas)

    async def _note_scaled(self, replica_set: Obj, before: int, after: int) -> None:
        if before == after:
            return
        direction = "up" if after > before else "down"
        message = f"Scaled {direction} replica set {replica_set['metadata']['name']} from {before} to {after}"
        await self.events.normal(self.deployment, "ScalingReplicaSet", message)

    def _is_complete(self) -> bool:
        status = progress.status_of(self.deployment, self.new, list(self.sets.values()), self.limit, self.now)
        return progress.is_complete(self.deployment, status, self.limit.desired)

    async def _clean_up(self) -> None:
        """Delete the oldest ReplicaSets beyond the revision history; those that have pods stay."""
        old = [replica_set for replica_set in self.old() if not is_deleting(replica_set)]
        surplus = len(old) - int(self.deployment["spec"].get("revisionHistoryLimit", 10))
        for replica_set in sorted(old, key=revisions.revision)[: max(0, surplus)]:
            status, metadata = replica_set.get("status") or {}, replica_set["metadata"]
            if rollout.size(replica_set) or status.get("replicas"):
                continue
            if status.get("observedGeneration", 0) >= metadata.get("generation", 1):
                await self.cluster.delete(REPLICA_SETS, replica_set)
                del self.sets[metadata["name"]]

    def _have(self, replica_set: Obj) -> Obj:
        self.sets[replica_set["metadata"]["name"]] = replica_set
        return replica_set
