"""Which changes may help a pod that was refused (kube-scheduler's queueing hints). No I/O.

Facts: `isSchedulableAfter...` of each plugin. A pod is not tried again for changes that cannot help
it: an idle cluster stays idle, and what the pod's condition says stays what was true when it was tried.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from edgelab.edgesite.scheduler.demand import PODS
from edgelab.edgesite.scheduler.nodeinfo import NodeInfo
from edgelab.edgesite.scheduler.nodes import is_selected, tolerates
from edgelab.edgesite.scheduler.plugins import spread
from edgelab.edgesite.scheduler.plugins.node import UNSCHEDULABLE_TAINT, first_untolerated
from edgelab.edgesite.scheduler.podinfo import PodInfo
from edgelab.edgesite.scheduler.terms import NamespaceLabels, Term
from edgelab.kube.interface import Obj


class PodChange(NamedTuple):
    """A pod with a node: it came (no `old`), went (no `new`), or has other labels or asks for less."""

    old: PodInfo | None
    new: PodInfo | None


class NodeChange(NamedTuple):
    """A node came, went or changed."""

    old: NodeInfo | None
    new: NodeInfo | None


class StorageChange(NamedTuple):
    """A claim, a volume, a class or a node's drivers came or changed, or a volume was detached."""

    kind: str
    obj: Obj
    is_new: bool


class OwnChange(NamedTuple):
    """The waiting pod itself has changed."""

    tolerations: bool
    labels: bool
    less: bool


Change = PodChange | NodeChange | StorageChange | OwnChange


def may_help(plugin: str, pod: PodInfo, change: Change, spaces: NamespaceLabels) -> bool:
    """Whether a pod that this plugin refused may fit after the change."""
    if isinstance(change, PodChange):
        rule = _PODS.get(plugin)
        return rule is not None and rule(pod, change, spaces)
    if isinstance(change, NodeChange):
        return _node(plugin, pod, change)
    if isinstance(change, OwnChange):
        return _own(plugin, pod, change)
    return _storage(plugin, pod, change)


def _node(plugin: str, pod: PodInfo, change: NodeChange) -> bool:
    if plugin not in _BY_TAINTS and _is_tainted_anew(change):
        return True
    return _NODES[plugin](pod, change) if plugin in _NODES else change.old is None


def _is_tainted_anew(change: NodeChange) -> bool:
    """kube-scheduler takes other taints for a help to everybody (kubernetes/kubernetes#109437)."""
    if change.old is None or change.new is None:
        return False
    old, new = change.old.spec, change.new.spec
    opened = bool(old.get("unschedulable")) and not new.get("unschedulable")
    return opened or old.get("taints") != new.get("taints")


def _own(plugin: str, pod: PodInfo, change: OwnChange) -> bool:
    if plugin == "NodeUnschedulable":
        tolerations = pod.obj["spec"].get("tolerations") or ()
        return change.tolerations and any(tolerates(item, UNSCHEDULABLE_TAINT) for item in tolerations)
    if plugin == "TaintToleration":
        return change.tolerations
    if plugin == "PodTopologySpread":
        return change.tolerations or change.labels
    return change.less if plugin == "NodeResourcesFit" else False


def _storage(plugin: str, pod: PodInfo, change: StorageChange) -> bool:
    if change.kind == "PersistentVolumeClaim":
        metadata = change.obj["metadata"]
        mine = metadata["namespace"] == pod.namespace and metadata["name"] in pod.claims
        if plugin == "NodeVolumeLimits":
            return mine and change.is_new
        return mine and (plugin != "VolumeRestrictions" or change.is_new) and plugin.startswith("Volume")
    if change.kind in ("CSINode", "VolumeAttachment"):
        return plugin == "NodeVolumeLimits"
    return plugin in ("VolumeBinding", "VolumeZone")


# Pods


def _ports(pod: PodInfo, change: PodChange, _: NamespaceLabels) -> bool:
    gone = change.old if change.new is None else None
    taken = gone.demand.ports if gone is not None else ()
    return any(port.conflicts(other) for port in pod.demand.ports for other in taken)


def _room(pod: PodInfo, change: PodChange, _: NamespaceLabels) -> bool:
    if change.new is None or change.old is None:
        return change.new is None
    before, after = change.old.demand.requests, change.new.demand.requests
    return any(before.get(name, 0) > after.get(name, 0) for name in pod.demand.requests)


def _disks(pod: PodInfo, change: PodChange, _: NamespaceLabels) -> bool:
    gone = change.old if change.new is None else None
    if gone is None or gone.namespace != pod.namespace:
        return False
    return bool(gone.obj["spec"].get("volumes"))


def _attached(pod: PodInfo, change: PodChange, _: NamespaceLabels) -> bool:
    return change.new is None and change.old is not None and bool(change.old.claims)


def _spread_pods(pod: PodInfo, change: PodChange, _: NamespaceLabels) -> bool:
    strict = spread.constraints(pod, "DoNotSchedule")
    if any(other is not None and other.namespace != pod.namespace for other in change):
        return False
    before, after = (
        [other is not None and item.selector.matches(other.labels) for item in strict] for other in change
    )
    return before != after


def _near_pods(pod: PodInfo, change: PodChange, spaces: NamespaceLabels) -> bool:
    def all_of(terms: tuple[Term, ...], other: PodInfo | None) -> bool:
        if other is None or not terms:
            return False
        return all(term.matches(other.kin, spaces) for term in terms)

    wanted = not all_of(pod.terms.affinity, change.old) and all_of(pod.terms.affinity, change.new)
    unwanted = all_of(pod.terms.apart, change.old) and not all_of(pod.terms.apart, change.new)
    # The others' own terms against this pod are gone with them.
    guard = change.old if change.new is None else None
    freed = guard is not None and any(term.matches(pod.kin, spaces) for term in guard.terms.apart)
    return wanted or unwanted or freed


_PODS: dict[str, Callable[[PodInfo, PodChange, NamespaceLabels], bool]] = {
    "NodePorts": _ports,
    "NodeResourcesFit": _room,
    "VolumeRestrictions": _disks,
    "NodeVolumeLimits": _attached,
    "PodTopologySpread": _spread_pods,
    "InterPodAffinity": _near_pods,
}


# Nodes


def _cordon(_: PodInfo, change: NodeChange) -> bool:
    if change.new is None or change.new.spec.get("unschedulable"):
        return False
    return change.old is None or bool(change.old.spec.get("unschedulable"))


def _taints(pod: PodInfo, change: NodeChange) -> bool:
    tolerations = pod.obj["spec"].get("tolerations") or ()

    def keeps_away(node: NodeInfo | None) -> bool:
        return node is None or first_untolerated(node.spec.get("taints") or (), tolerations) is not None

    return keeps_away(change.old) and not keeps_away(change.new)


def _selected(pod: PodInfo, change: NodeChange) -> bool:
    def fits(node: NodeInfo | None) -> bool:
        return node is not None and is_selected(pod.obj["spec"], node.labels, node.name)

    return fits(change.new) and not fits(change.old)


def _allocatable(pod: PodInfo, change: NodeChange) -> bool:
    if change.new is None:
        return False
    new, asked = change.new.allocatable, {**pod.demand.requests, PODS: 1}
    if any(value > new.get(name, 0) for name, value in asked.items()):
        return False
    old = change.old.allocatable if change.old is not None else {}
    return any(new.get(name, 0) > old.get(name, 0) for name in asked)


def _spread_nodes(pod: PodInfo, change: NodeChange) -> bool:
    strict = spread.constraints(pod, "DoNotSchedule")
    before, after = (node is not None and spread.has_keys(node, strict) for node in change)
    if change.old is None or change.new is None or before != after:
        return before or after
    moved = any(change.old.labels.get(c.key) != change.new.labels.get(c.key) for c in strict)
    return after and (moved or change.old.spec.get("taints") != change.new.spec.get("taints"))


def _near_nodes(pod: PodInfo, change: NodeChange) -> bool:
    if change.new is None:
        return False
    if change.old is None:
        near = any(term.key in change.new.labels for term in pod.terms.affinity)
        return near or bool(pod.terms.apart) or not pod.terms.affinity
    old, new = change.old.labels, change.new.labels
    return any(term.key in new and old.get(term.key) != new[term.key] for term in pod.terms.affinity) or any(
        term.key in old and old[term.key] != new.get(term.key) for term in pod.terms.apart
    )


def _labels(_: PodInfo, change: NodeChange) -> bool:
    if change.old is None or change.new is None:
        return change.new is not None
    return change.old.labels != change.new.labels


_BY_TAINTS = ("NodeUnschedulable", "TaintToleration", "PodTopologySpread")
_NODES: dict[str, Callable[[PodInfo, NodeChange], bool]] = {
    "NodeUnschedulable": _cordon,
    "TaintToleration": _taints,
    "NodeAffinity": _selected,
    "NodeResourcesFit": _allocatable,
    "VolumeBinding": _labels,
    "VolumeZone": _labels,
    "PodTopologySpread": _spread_nodes,
    "InterPodAffinity": _near_nodes,
}
