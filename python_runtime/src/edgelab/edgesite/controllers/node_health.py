"""Nodes that have fallen silent, and the taints that follow from conditions (pkg/controller/nodelifecycle).

Every 5 s it compares when each node last renewed its lease or status, as this process saw it. After
50 s of silence the node's conditions become Unknown and its pods not ready until it is heard again;
nothing is deleted here. Taints follow conditions at once. After a start of EdgeSite every node has a
full grace.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.recorder import Recorder
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.kube.informer import DELETED, Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import LEASES, NODES, PODS
from edgelab.objects.metadata import condition, is_deleting, key_of
from edgelab.objects.status import ApiError

CHECK_SECONDS = 5.0
SETTLE_SECONDS = 1.0
GRACE_SECONDS = 50.0
STARTUP_GRACE_SECONDS = 60.0
LEASE_NAMESPACE = "kube-node-lease"
WATCHED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
BY_CONDITION = {
    "MemoryPressure": "node.kubernetes.io/memory-pressure",
    "DiskPressure": "node.kubernetes.io/disk-pressure",
    "PIDPressure": "node.kubernetes.io/pid-pressure",
    "NetworkUnavailable": "node.kubernetes.io/network-unavailable",
}
UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
OURS = frozenset({NOT_READY, UNREACHABLE, UNSCHEDULABLE, *BY_CONDITION.values()})


@dataclass(slots=True)
class Pulse:
    """The last sign of life, and when we saw it (monotonic)."""

    heartbeat: str
    renewal: str
    seen: float


class NodeHealthController:
    """A module; its queue holds the keys of nodes."""

    name = "node-controller"

    def __init__(self, cluster: Cluster, notes: Callable[[Obj], dict[str, str]] = lambda node: {}) -> None:
        """`notes`: annotations that a node lacks; a new one gets them and loses its taint in one write."""
        self._cluster = cluster
        self._notes = notes
        self._nodes = cluster.view(NODES)
        self._leases = cluster.view(LEASES)
        self._pods = cluster.view(PODS)
        self._pulses: dict[str, Pulse] = {}
        self._events = Recorder(cluster.api, cluster.clock, self.name)
        needs = [self._nodes, self._leases, self._pods]
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, needs)
        self._nodes.add_handler(self._on_node)

    async def run(self) -> None:
        """React to conditions, and look for silence (see `Heartbeats`)."""
        await self._queue.run()

    def _on_node(self, event_type: str, old: Obj | None, new: Obj) -> None:
        if event_type == DELETED:
            self._pulses.pop(new["metadata"]["name"], None)
        elif condition(new, "Ready") is None and not is_deleting(new):
            # It reports in a moment, and what admission gave it holds until then.
            self._queue.add_after(key_of(new), SETTLE_SECONDS)
        elif old is None or _aspect(old) != _aspect(new):
            self._queue.add_object(new)

    def check(self) -> None:
        """Look at every node's last sign of life; queue those that are silent for too long."""
        now = self._cluster.clock.monotonic()
        for node in self._nodes.all():
            if now - self._pulse(node, now).seen > grace(node) and not _is_unknown(node):
                self._queue.add_object(node)

    def _pulse(self, node: Obj, now: float) -> Pulse:
        name = node["metadata"]["name"]
        ready = condition(node, "Ready") or {}
        lease = self._leases.get(name, LEASE_NAMESPACE) or {}
        heartbeat = str(ready.get("lastHeartbeatTime", ""))
        renewal = str((lease.get("spec") or {}).get("renewTime", ""))
        pulse = self._pulses.get(name)
        if pulse is None or _is_newer(pulse, heartbeat, renewal):
            pulse = self._pulses[name] = Pulse(heartbeat, renewal, now)
        return pulse

    async def _reconcile(self, key: Key) -> None:
        node = self._nodes.get(key[1])
        if node is None or is_deleting(node):
            return
        now = self._cluster.clock.monotonic()
        if now - self._pulse(node, now).seen > grace(node) and not _is_unknown(node):
            node = await self._declare_unknown(node)
        await self._taint(node)
        ready = condition(node, "Ready")
        if ready is not None and ready["status"] != "False":
            await self._mark_pods(node, "True" if ready["status"] == "True" else "False")

    async def _declare_unknown(self, node: Obj) -> Obj:
        changed = copy.deepcopy(node)
        now = self._cluster.stamp()
        conditions = changed.setdefault("status", {}).setdefault("conditions", [])
        for kind in WATCHED:
            silence = _silence(kind, condition(changed, kind), node, now)
            places = [place for place, item in enumerate(conditions) if item["type"] == kind]
            if places:
                conditions[places[0]] = silence
            else:
                conditions.append(silence)
        changed = await self._cluster.update(NODES, changed, "status")
        name = node["metadata"]["name"]
        await self._events.normal(node, "NodeNotReady", f"Node {name} status is now: NodeNotReady")
        return changed

    async def _taint(self, node: Obj) -> None:
        """Put on and take off the taints that are ours; those of others stay."""
        present = (node.get("spec") or {}).get("taints") or []
        wanted = list(wanted_taints(node))
        names = {(taint["key"], taint["effect"]) for taint in wanted}
        kept = [t for t in present if t["key"] not in OURS or (t["key"], t["effect"]) in names]
        have = {(taint["key"], taint["effect"]) for taint in kept}
        added = [taint for taint in wanted if (taint["key"], taint["effect"]) not in have]
        if kept == present and not added:
            return
        stamp = {"timeAdded": self._cluster.stamp()} if added else {}
        metadata = {"resourceVersion": node["metadata"]["resourceVersion"]}
        if notes := self._notes(node):
            metadata["annotations"] = notes
        patch = {
            "metadata": metadata,
            "spec": {"taints": [*kept, *({**taint, **stamp} for taint in added)] or None},
        }
        await self._cluster.patch(NODES, node, patch)

    async def _mark_pods(self, node: Obj, status: str) -> None:
        """Pods of a silent node may well be running, but nobody can say so: they get no traffic.

        When the node is heard again, those whose containers were ready are ready again at once; an
        edge that found nothing changed meanwhile would not report them anew.
        """
        for pod in self._pods.on_node(node["metadata"]["name"]):
            ready = condition(pod, "Ready")
            if ready is None or ready["status"] == status or (status == "True" and not _may_be_ready(pod)):
                continue
            changed = copy.deepcopy(pod)
            for item in changed["status"]["conditions"]:
                if item["type"] == "Ready":
                    item |= {"status": status, "lastTransitionTime": self._cluster.stamp()}
            try:
                await self._cluster.update(PODS, changed, "status")
            except ApiError as error:
                if error.code != 404:
                    raise
                continue
            if status == "False":
                await self._events.warning(pod, "NodeNotReady", "Node is not ready")


class Heartbeats:
    """A module: the one clock of the controllers, looking for silent nodes every 5 s."""

    name = "node-heartbeats"

    def __init__(self, cluster: Cluster, health: NodeHealthController) -> None:
        self._cluster = cluster
        self._health = health

    async def run(self) -> None:
        """Check for ever."""
        await self._cluster.view(NODES).wait_synced()
        await self._cluster.view(LEASES).wait_synced()
        while True:
            self._health.check()
            await self._cluster.clock.sleep(CHECK_SECONDS)


def grace(node: Obj) -> float:
    """How long a node may be silent; one that has never reported has a little longer."""
    return GRACE_SECONDS if condition(node, "Ready") is not None else STARTUP_GRACE_SECONDS


def wanted_taints(node: Obj) -> Iterator[Obj]:
    """The taints that follow from a node's conditions: in their order, those that evict last."""
    silent = None
    for found in (node.get("status") or {}).get("conditions") or ():
        kind, status = found["type"], found.get("status")
        key = BY_CONDITION.get(kind) if status == "True" else None
        if kind == "Ready":
            key = silent = {"False": NOT_READY, "Unknown": UNREACHABLE}.get(str(status))
        if key is not None:
            yield {"key": key, "effect": "NoSchedule"}
    if (node.get("spec") or {}).get("unschedulable"):
        yield {"key": UNSCHEDULABLE, "effect": "NoSchedule"}
    if silent is not None:
        yield {"key": silent, "effect": "NoExecute"}


def _silence(kind: str, old: Obj | None, node: Obj, now: str) -> Obj:
    """The condition of a node that nobody hears."""
    if old is None:
        return {
            "type": kind,
            "status": "Unknown",
            "lastHeartbeatTime": node["metadata"]["creationTimestamp"],
            "lastTransitionTime": now,
            "reason": "NodeStatusNeverUpdated",
            "message": "Kubelet never posted node status.",
        }
    if old["status"] == "Unknown":
        return old
    return {
        **old,
        "status": "Unknown",
        "lastTransitionTime": now,
        "reason": "NodeStatusUnknown",
        "message": "Kubelet stopped posting node status.",
    }


def _may_be_ready(pod: Obj) -> bool:
    """Whether only our mark keeps the pod from being ready: its own kubelet would call it so."""
    containers = condition(pod, "ContainersReady") or {}
    gated = bool(pod["spec"].get("readinessGates"))
    return containers.get("status") == "True" and not gated and not is_deleting(pod)


def _is_newer(pulse: Pulse, heartbeat: str, renewal: str) -> bool:
    """A heartbeat that goes back (an edge whose clock was set) is a sign of life too; a lost one is not."""
    return (heartbeat not in ("", pulse.heartbeat)) or (renewal not in ("", pulse.renewal))


def _is_unknown(node: Obj) -> bool:
    ready = condition(node, "Ready")
    return ready is not None and ready["status"] == "Unknown"


def _aspect(node: Obj) -> tuple[object, ...]:
    """What taints follow from, and the taints; heartbeats are not part of it."""
    spec = node.get("spec") or {}
    conditions = (node.get("status") or {}).get("conditions") or []
    return [(c["type"], c["status"]) for c in conditions], spec.get("taints"), spec.get("unschedulable")
