"""The controller: keeps one pod on every fitting node, rolls, keeps the history, reports.

Receives DaemonSets, pods, nodes and revisions. Writes pods that are bound by node affinity (the
scheduler binds them), ControllerRevisions, the DaemonSets' status and events.
"""

from __future__ import annotations

import copy

from edgelab.edgesite.controllers.daemonset import rollout
from edgelab.edgesite.controllers.daemonset.placement import HASH_LABEL, Judge, daemon_pod, node_of
from edgelab.edgesite.controllers.deployment.revisions import template_hash
from edgelab.edgesite.controllers.support.adoption import claim
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.delays import Delays
from edgelab.edgesite.controllers.support.history import History, number_of, patch_of, revision_object
from edgelab.edgesite.controllers.support.owners import watch_owned
from edgelab.edgesite.controllers.support.pods import available_in, is_finished, is_ready
from edgelab.edgesite.controllers.support.recorder import Recorder
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.kube.informer import DELETED, MODIFIED, Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import DAEMON_SETS, NODES, PODS
from edgelab.objects.metadata import controller_of, is_deleting, labels
from edgelab.objects.status import ApiError

BURST = 250


class DaemonSetController:
    """A module; its queue holds the keys of DaemonSets."""

    name = "daemonset-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._sets = cluster.view(DAEMON_SETS)
        self._pods = cluster.view(PODS)
        self._nodes = cluster.view(NODES)
        self._history = History(cluster)
        self._failed = Delays(cluster.clock, first=1.0, longest=900.0)
        self._events = Recorder(cluster.api, cluster.clock, self.name)
        needs = [self._sets, self._pods, self._nodes, self._history.view]
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, needs)
        self._sets.add_handler(lambda _, __, new: self._queue.add_object(new))
        watch_owned(self._pods, self._sets, "DaemonSet", self._queue)
        self._nodes.add_handler(self._on_node)

    async def run(self) -> None:
        """Keep one pod on every fitting node."""
        await self._queue.run()

    def _on_node(self, event_type: str, old: Obj | None, new: Obj) -> None:
        """Heartbeats change nothing that decides where pods belong."""
        if old is not None and _placing(old) == _placing(new) and event_type == MODIFIED:
            return
        name = new["metadata"]["name"]
        present = {owner["uid"] for pod in self._pods.on_node(name) if (owner := controller_of(pod))}
        for daemon_set in self._sets.all():
            if event_type == DELETED or self._concerns(daemon_set, new, present):
                self._queue.add_object(daemon_set)

    @staticmethod
    def _concerns(daemon_set: Obj, node: Obj, present: set[str]) -> bool:
        """Whether a pod is missing on the node, or one there is out of place (`syncNodeUpdate`)."""
        judge = Judge(daemon_set)
        if daemon_set["metadata"]["uid"] not in present:
            return judge.should_run(node)
        misplaced = (daemon_set.get("status") or {}).get("numberMisscheduled", 0)
        return misplaced > 0 or not judge.may_stay(node)

    async def _reconcile(self, key: Key) -> float | None:
        daemon_set = self._sets.get(key[1], key[0])
        if daemon_set is None or is_deleting(daemon_set):
            return None
        current, old = await self._revisions(daemon_set)
        digest, judge = labels(current)[HASH_LABEL], Judge(daemon_set)
        await claim(self._cluster, PODS, daemon_set, self._pods.claimable(daemon_set))
        try:
            again = await self._keep(daemon_set, digest, judge)
            if (daemon_set["spec"].get("updateStrategy") or {}).get("type") != "OnDelete":
                await self._carry_out(daemon_set, rollout.roll(self._view(daemon_set, digest), judge), digest)
            await self._clean_up(daemon_set, old)
        finally:
            available = await self._report(self._view(daemon_set, digest), judge)
        return min((wait for wait in (again, available) if wait is not None), default=None)

    def _view(self, daemon_set: Obj, digest: str) -> rollout.View:
        """What is there now."""
        by_node: dict[str, list[Obj]] = {}
        for pod in self._pods.owned(daemon_set["metadata"]["uid"]):
            if not (is_deleting(pod) and is_finished(pod)):
                by_node.setdefault(node_of(pod), []).append(pod)
        now = self._cluster.clock.now()
        return rollout.View(daemon_set, self._nodes.all(), by_node, digest, now)

    # Pods

    async def _keep(self, daemon_set: Obj, digest: str, judge: Judge) -> float | None:
        """Seconds after which failed pods may be replaced again."""
        waits: list[float] = []
        ended: list[tuple[Obj, str]] = []

        def may_retry(pod: Obj, node: str) -> bool:
            if (pod.get("status") or {}).get("phase") == "Failed":
                wait = self._failed.next(f"{daemon_set['metadata']['uid']}/{node}")
                if wait > 0:
                    waits.append(wait)
                    return False
            ended.append((pod, node))
            return True

        plan = rollout.keep(self._view(daemon_set, digest), judge, may_retry)
        for pod, node in ended:
            await self._tell_of_end(daemon_set, pod, node)
        await self._carry_out(daemon_set, plan, digest)
        return min(waits, default=None)

    async def _tell_of_end(self, daemon_set: Obj, pod: Obj, node: str) -> None:
        name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
        if pod["status"]["phase"] == "Failed":
            text = f"Found failed daemon pod {name} on node {node}, will try to kill it"
            await self._events.warning(daemon_set, "FailedDaemonPod", text)
        else:
            text = f"Found succeeded daemon pod {name} on node {node}, will try to delete it"
            await self._events.normal(daemon_set, "SucceededDaemonPod", text)

    async def _carry_out(self, daemon_set: Obj, plan: rollout.Plan, digest: str) -> None:
        for node in plan.create[:BURST]:
            pod = daemon_pod(daemon_set, digest, node)
            try:
                made = await self._cluster.create(PODS, pod, daemon_set["metadata"]["namespace"])
            except ApiError as error:
                if error.code == 403 and "being terminated" in error.message:
                    return
                await self._events.warning(daemon_set, "FailedCreate", f"Error creating: {error.message}")
                raise
            await self._events.normal(
                daemon_set, "SuccessfulCreate", f"Created pod: {made['metadata']['name']}"
            )
        for pod in plan.delete[:BURST]:
            name = pod["metadata"]["name"]
            try:
                deleted = await self._cluster.delete(PODS, pod)
            except ApiError as error:
                await self._events.warning(daemon_set, "FailedDelete", f"Error deleting: {error.message}")
                raise
            if deleted:
                await self._events.normal(daemon_set, "SuccessfulDelete", f"Deleted pod: {name}")

    # Revisions

    async def _revisions(self, daemon_set: Obj) -> tuple[Obj, list[Obj]]:
        """The revision of the present template, made or numbered anew, and the others, oldest first."""
        data = patch_of(daemon_set)
        revisions = await self._history.of(daemon_set)
        current = [revision for revision in revisions if revision["data"] == data]
        old = [revision for revision in revisions if revision["data"] != data]
        number = max(map(number_of, old), default=0) + 1
        if not current:
            return await self._new_revision(daemon_set, data, number), old
        kept = current[-1]
        for double in current[:-1]:
            await self._relabel(daemon_set, kept)
            await self._history.delete(double)
        if number_of(kept) < number:
            kept = await self._history.renumber(kept, number)
        return kept, old

    async def _new_revision(self, daemon_set: Obj, data: Obj, number: int) -> Obj:
        template, name = daemon_set["spec"]["template"], daemon_set["metadata"]["name"]
        collisions = int((daemon_set.get("status") or {}).get("collisionCount", 0))
        marks = (template.get("metadata") or {}).get("labels") or {}
        digest = template_hash(template, collisions)
        made = revision_object(daemon_set, data, number, {**marks, HASH_LABEL: digest})
        made["metadata"]["name"] = f"{name}-{digest}"
        try:
            return await self._history.put(made)
        except ApiError as error:
            if error.reason == "AlreadyExists":  # with other data: the next pass hashes differently
                status = {**(daemon_set.get("status") or {}), "collisionCount": collisions + 1}
                await self._cluster.update(DAEMON_SETS, {**daemon_set, "status": status}, "status")
            raise

    async def _relabel(self, daemon_set: Obj, revision: Obj) -> None:
        """Pods of a double belong to the revision that is kept."""
        digest = labels(revision)[HASH_LABEL]
        for pod in self._pods.owned(daemon_set["metadata"]["uid"]):
            if labels(pod).get(HASH_LABEL) != digest:
                await self._cluster.patch(PODS, pod, {"metadata": {"labels": {HASH_LABEL: digest}}})

    async def _clean_up(self, daemon_set: Obj, old: list[Obj]) -> None:
        surplus = len(old) - int(daemon_set["spec"].get("revisionHistoryLimit", 10))
        if surplus <= 0:
            return
        live = {labels(pod).get(HASH_LABEL) for pod in self._pods.owned(daemon_set["metadata"]["uid"])}
        idle = [revision for revision in old if labels(revision).get(HASH_LABEL) not in live]
        for revision in idle[:surplus]:
            await self._history.delete(revision)

    # Status

    async def _report(self, view: rollout.View, judge: Judge) -> float | None:
        """Write the status if it has changed; gives the seconds until a pod becomes available."""
        daemon_set = view.daemon_set
        minimum = int(daemon_set["spec"].get("minReadySeconds", 0))
        wanted, missing, misplaced, oldest = 0, 0, 0, []
        for node in view.nodes:
            pods = view.by_node.get(node["metadata"]["name"])
            if not judge.should_run(node):
                misplaced += bool(pods)
                continue
            wanted += 1
            if pods:
                oldest.append(pods[0])
            else:
                missing += 1
        waits = [wait for pod in oldest if (wait := available_in(pod, minimum, view.now)) is not None]
        available = waits.count(0.0)
        status: Obj = {
            "currentNumberScheduled": wanted - missing,
            "numberMisscheduled": misplaced,
            "desiredNumberScheduled": wanted,
            "numberReady": sum(1 for pod in oldest if is_ready(pod)),
            "observedGeneration": daemon_set["metadata"].get("generation", 1),
        }
        optional = {
            "updatedNumberScheduled": sum(1 for pod in oldest if view.is_new(pod)),
            "numberAvailable": available,
            "numberUnavailable": wanted - available,
        }
        status |= {name: count for name, count in optional.items() if count}
        old = daemon_set.get("status") or {}
        status |= {name: old[name] for name in ("collisionCount", "conditions") if name in old}
        if status != old:
            changed = copy.deepcopy(daemon_set)
            changed["status"] = status
            await self._cluster.update(DAEMON_SETS, changed, "status")
        return min((wait for wait in waits if wait > 0), default=None)


def _placing(node: Obj) -> tuple[object, ...]:
    spec = node.get("spec") or {}
    return labels(node), spec.get("taints")
