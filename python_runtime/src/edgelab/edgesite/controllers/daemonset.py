"""DaemonSets: one pod on every node that fits (pkg/controller/daemon).

Receives DaemonSets, pods and nodes. Writes pods that are bound by node affinity (the scheduler
binds them), their ControllerRevision-like hash label, status and events. Updates replace at most
`maxUnavailable` pods at a time; OnDelete waits for somebody to delete the old ones.
"""

from __future__ import annotations

import copy

from edgelab.edgesite.controllers.deployment.revisions import template_hash
from edgelab.edgesite.controllers.deployment.rollout import portion
from edgelab.edgesite.controllers.support.adoption import claim
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.pods import available_in, from_template, is_finished, is_ready
from edgelab.edgesite.controllers.support.recorder import Recorder
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.edgesite.scheduler.nodes import matches_node, tolerates_all
from edgelab.kube.informer import Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import DAEMON_SETS, NODES, PODS
from edgelab.objects.metadata import controller_of, is_deleting, labels

HASH_LABEL = "controller-revision-hash"
TOLERATIONS = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
"""Added to every daemon pod (pkg/controller/daemon/util)."""


class DaemonSetController:
    """A module; its queue holds the keys of DaemonSets."""

    name = "daemonset-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._sets = cluster.view(DAEMON_SETS)
        self._pods = cluster.view(PODS)
        self._nodes = cluster.view(NODES)
        self._events = Recorder(cluster.api, cluster.clock, self.name)
        needs = [self._sets, self._pods, self._nodes]
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, needs)
        self._sets.add_handler(lambda _, __, new: self._queue.add_object(new))
        self._pods.add_handler(self._on_pod)
        self._nodes.add_handler(self._on_node)

    async def run(self) -> None:
        """Keep one pod on every fitting node."""
        await self._queue.run()

    def _on_pod(self, event_type: str, old: Obj | None, new: Obj) -> None:
        owner = controller_of(new)
        if owner is not None and owner["kind"] == "DaemonSet":
            self._queue.add((new["metadata"]["namespace"], owner["name"]))

    def _on_node(self, event_type: str, old: Obj | None, new: Obj) -> None:
        """Heartbeats change nothing that decides where pods belong."""
        if old is not None and _placing(old) == _placing(new) and event_type == "MODIFIED":
            return
        for daemon_set in self._sets.all():
            self._queue.add_object(daemon_set)

    async def _reconcile(self, key: Key) -> float | None:
        daemon_set = self._sets.get(key[1], key[0])
        if daemon_set is None or is_deleting(daemon_set):
            return None
        await claim(self._cluster, PODS, daemon_set, self._pods.claimable(daemon_set))
        digest = template_hash(daemon_set["spec"]["template"])
        by_node = self._by_node(daemon_set)
        wanted = {node["metadata"]["name"] for node in self._nodes.all() if should_run(daemon_set, node)}
        await self._place(daemon_set, digest, by_node, wanted)
        await self._replace_old(daemon_set, digest, len(wanted))
        return await self._report(daemon_set, digest, wanted)

    def _by_node(self, daemon_set: Obj) -> dict[str, list[Obj]]:
        by_node: dict[str, list[Obj]] = {}
        for pod in self._pods.owned(daemon_set["metadata"]["uid"]):
            by_node.setdefault(node_of(pod), []).append(pod)
        return by_node

    async def _place(
        self, daemon_set: Obj, digest: str, by_node: dict[str, list[Obj]], wanted: set[str]
    ) -> None:
        existing = {node["metadata"]["name"]: node for node in self._nodes.all()}
        for node, pods in by_node.items():
            living = [pod for pod in pods if not is_deleting(pod)]
            failed = [pod for pod in living if is_finished(pod)]
            keep = node in wanted or (node in existing and may_stay(daemon_set, existing[node]))
            running = sorted((p for p in living if not is_finished(p)), key=_age)
            for pod in failed + (running[1:] if keep else running):
                await self._delete(daemon_set, pod)
        for node in sorted(wanted):
            if not any(not is_finished(pod) for pod in by_node.get(node, [])):
                pod = daemon_pod(daemon_set, digest, node)
                made = await self._cluster.create(PODS, pod, daemon_set["metadata"]["namespace"])
                await self._events.normal(
                    daemon_set, "SuccessfulCreate", f"Created pod: {made['metadata']['name']}"
                )

    async def _replace_old(self, daemon_set: Obj, digest: str, wanted: int) -> None:
        """Delete old pods as far as `maxUnavailable` allows; those that serve nobody first."""
        strategy = daemon_set["spec"].get("updateStrategy") or {}
        if strategy.get("type") == "OnDelete":
            return
        rolling = strategy.get("rollingUpdate") or {}
        allowed = max(1, portion(rolling.get("maxUnavailable", 1), wanted, up=True))
        pods = self._pods.owned(daemon_set["metadata"]["uid"])
        old = [pod for pod in pods if labels(pod).get(HASH_LABEL) != digest and not is_deleting(pod)]
        useless = [pod for pod in old if not is_ready(pod)]
        down = sum(1 for pod in pods if is_deleting(pod) or not is_ready(pod)) - len(useless)
        serving = [pod for pod in old if is_ready(pod)]
        for pod in useless + serving[: max(0, allowed - down - len(useless))]:
            await self._delete(daemon_set, pod)

    async def _delete(self, daemon_set: Obj, pod: Obj) -> None:
        if await self._cluster.delete(PODS, pod):
            await self._events.normal(
                daemon_set, "SuccessfulDelete", f"Deleted pod: {pod['metadata']['name']}"
            )

    async def _report(self, daemon_set: Obj, digest: str, wanted: set[str]) -> float | None:
        pods = [p for p in self._pods.owned(daemon_set["metadata"]["uid"]) if not is_deleting(p)]
        placed = [pod for pod in pods if node_of(pod) in wanted]
        now, minimum = self._cluster.clock.now(), int(daemon_set["spec"].get("minReadySeconds", 0))
        waits = [wait for pod in placed if (wait := available_in(pod, minimum, now)) is not None]
        available, updated = waits.count(0.0), [p for p in placed if labels(p).get(HASH_LABEL) == digest]
        status: Obj = {
            "currentNumberScheduled": len({node_of(pod) for pod in placed}),
            "numberMisscheduled": len({node_of(pod) for pod in pods} - wanted),
            "desiredNumberScheduled": len(wanted),
            "numberReady": sum(1 for pod in placed if is_ready(pod)),
            "observedGeneration": daemon_set["metadata"].get("generation", 1),
        }
        optional = {
            "updatedNumberScheduled": len(updated),
            "numberAvailable": available,
            "numberUnavailable": len(wanted) - available,
        }
        status |= {name: count for name, count in optional.items() if count}
        if status != daemon_set.get("status"):
            changed = copy.deepcopy(daemon_set)
            changed["status"] = status
            await self._cluster.update(DAEMON_SETS, changed, "status")
        return min((wait for wait in waits if wait > 0), default=None)


def _age(pod: Obj) -> tuple[bool, str, str]:
    return not is_ready(pod), pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]


def _placing(node: Obj) -> tuple[object, ...]:
    spec = node.get("spec") or {}
    return labels(node), spec.get("taints"), spec.get("unschedulable"), is_deleting(node)


def node_of(pod: Obj) -> str:
    """The node that a daemon pod is bound to, or meant for."""
    if bound := pod["spec"].get("nodeName"):
        return str(bound)
    affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field["key"] == "metadata.name":
                return str(field["values"][0])
    return ""


def daemon_pod(daemon_set: Obj, digest: str, node: str) -> Obj:
    """The pod for one node: only the scheduler's other rules still apply to it."""
    pod = from_template(daemon_set, daemon_set["spec"]["template"])
    pod["metadata"]["labels"][HASH_LABEL] = digest
    spec = pod["spec"]
    present = {(t.get("key"), t.get("effect")) for t in spec.get("tolerations") or ()}
    added: tuple[tuple[str, str], ...] = TOLERATIONS
    if spec.get("hostNetwork"):
        added = (*added, ("node.kubernetes.io/network-unavailable", "NoSchedule"))
    spec["tolerations"] = [
        *(spec.get("tolerations") or []),
        *({"key": k, "operator": "Exists", "effect": e} for k, e in added if (k, e) not in present),
    ]
    only = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    affinity = spec.setdefault("affinity", {}).setdefault("nodeAffinity", {})
    affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": [only]}
    return pod


def _probe(daemon_set: Obj) -> Obj:
    """A pod that stands for the template when a node is judged; its own affinity still counts."""
    pod = daemon_pod(daemon_set, "", "")
    affinity = copy.deepcopy(daemon_set["spec"]["template"]["spec"].get("affinity"))
    pod["spec"]["affinity"] = affinity
    return pod


def should_run(daemon_set: Obj, node: Obj) -> bool:
    """Whether a pod belongs on the node."""
    return may_stay(daemon_set, node) and tolerates_all(_probe(daemon_set), node, ("NoSchedule", "NoExecute"))


def may_stay(daemon_set: Obj, node: Obj) -> bool:
    """Whether a pod that is there already may go on: NoSchedule taints do not send it away."""
    probe = _probe(daemon_set)
    named = probe["spec"].get("nodeName") in (None, "", node["metadata"]["name"])
    return named and matches_node(probe, node) and tolerates_all(probe, node, ("NoExecute",))
