"""What the scheduler learns from events: who is where, who waits, and whom a change may help."""

from __future__ import annotations

from edgelab.edgesite.controllers.support.pods import is_finished
from edgelab.edgesite.scheduler.demand import demand
from edgelab.edgesite.scheduler.hints import Change, NodeChange, OwnChange, PodChange, StorageChange, may_help
from edgelab.edgesite.scheduler.ledger import Ledger
from edgelab.edgesite.scheduler.lookup import CSI_NODES, STORAGE_CLASSES, Lookup
from edgelab.edgesite.scheduler.nodeinfo import NodeInfo
from edgelab.edgesite.scheduler.plugins.limits import limits_of
from edgelab.edgesite.scheduler.podinfo import PodInfo
from edgelab.edgesite.scheduler.queue import Queue, Queued
from edgelab.kube.informer import DELETED
from edgelab.kube.interface import Obj
from edgelab.kube.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, VOLUME_ATTACHMENTS
from edgelab.objects.metadata import key_of, labels

STORAGE = (PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES)


class Watcher:
    """Keeps the ledger and the queue up to date. `assumed` are pods whose binding is under way, by uid."""

    def __init__(self, name: str, queue: Queue, ledger: Ledger, lookup: Lookup) -> None:
        self._name = name
        self._queue = queue
        self._ledger = ledger
        self._lookup = lookup
        self.assumed: set[str] = set()
        self.preempting: set[str] = set()
        """Pods for which others are being removed, by uid; they are not tried meanwhile."""
        for resource in STORAGE:
            lookup.views[resource].add_handler(self._on_storage)
        lookup.views[CSI_NODES].add_handler(self._on_csi_node)
        lookup.views[VOLUME_ATTACHMENTS].add_handler(self._on_attachment)

    def on_pod(self, event_type: str, old: Obj | None, new: Obj) -> None:
        """A pod came, changed or went."""
        if event_type == DELETED or is_finished(new):
            self._gone(new)
        elif new["spec"].get("nodeName"):
            self._placed(old, new)
        elif new["metadata"]["uid"] not in self.assumed:
            self._unplaced(old, new)

    def on_node(self, event_type: str, old: Obj | None, new: Obj) -> None:
        """A node came, changed or went; heartbeats are not a change."""
        if event_type == DELETED:
            self._ledger.drop_node(new["metadata"]["name"])
            self._node_changed(new, None)
        elif old is None or _offers(old) != _offers(new):
            self._ledger.set_node(new)
            self._node_changed(old, new)

    def tell(self, change: Change, ceiling: int | None = None) -> None:
        """Try those again that the change may help (and that are no more important than `ceiling`)."""
        for item in self._queue.waiting():
            if ceiling is None or item.priority <= ceiling:
                self._tell_one(item, change)

    def forget(self, pod: Obj) -> None:
        """A pod that was counted on a node is not there after all."""
        info = PodInfo(pod)
        self.assumed.discard(info.uid)
        if self._ledger.remove(info.uid):
            self.tell(PodChange(info, None))

    def _tell_one(self, item: Queued, change: Change) -> None:
        if item.pod["metadata"]["uid"] in self.preempting:
            return
        if not item.plugins:
            helps = not isinstance(change, OwnChange) or any(change)
        else:
            info, spaces = PodInfo(item.pod), self._lookup.namespace_labels
            helps = any(may_help(plugin, info, change, spaces) for plugin in item.plugins)
        if helps:
            self._queue.retry(item)

    def _node_changed(self, before: Obj | None, after: Obj | None) -> None:
        if self._queue.waiting():  # mostly nobody is, and reading nodes is not for nothing
            self.tell(NodeChange(_node(before), _node(after)))

    def _gone(self, pod: Obj) -> None:
        info = PodInfo(pod)
        self._queue.remove(key_of(pod))
        self.assumed.discard(info.uid)
        was_nominated = self._ledger.wish(info.uid)
        self._ledger.nominate(info, "")
        if self._ledger.remove(info.uid):
            self.tell(PodChange(info, None))
        elif was_nominated:
            self.tell(PodChange(info, None), ceiling=info.priority)

    def _placed(self, old: Obj | None, new: Obj) -> None:
        uid, node = new["metadata"]["uid"], new["spec"]["nodeName"]
        self._queue.remove(key_of(new))
        fresh = uid in self.assumed or self._ledger.place(uid) is None
        self.assumed.discard(uid)
        if not fresh and old is not None and not _asks_anew(old, new):
            self._ledger.refresh(new)
            return
        info = PodInfo(new, placed=True)
        self._ledger.nominate(info, "")
        before = None if fresh or old is None else PodInfo(old, placed=True)
        self._ledger.put(info, node)
        self.tell(PodChange(before, info))

    def _unplaced(self, old: Obj | None, new: Obj) -> None:
        spec = new["spec"]
        if (spec.get("schedulerName") or self._name) != self._name or spec.get("schedulingGates"):
            return
        self._renominate(old, new)
        item = self._queue.update(new)
        if item is None:
            self._queue.add(new)
        elif old is not None:
            self._tell_one(item, _own_change(old, new))

    def _renominate(self, old: Obj | None, new: Obj) -> None:
        before = ((old or {}).get("status") or {}).get("nominatedNodeName") or ""
        after = (new.get("status") or {}).get("nominatedNodeName") or ""
        if before == after:
            return
        info = PodInfo(new)
        self._ledger.nominate(info, after)
        if before:
            self.tell(PodChange(info, None), ceiling=info.priority)

    def _on_storage(self, event_type: str, old: Obj | None, new: Obj) -> None:
        if event_type != DELETED:
            self.tell(StorageChange(new.get("kind", ""), new, old is None))

    def _on_csi_node(self, event_type: str, old: Obj | None, new: Obj) -> None:
        before, after = limits_of(old), limits_of(new)
        more = any(count > before.get(driver, 0) for driver, count in after.items())
        if event_type != DELETED and (old is None or more):
            self.tell(StorageChange("CSINode", new, old is None))

    def _on_attachment(self, event_type: str, old: Obj | None, new: Obj) -> None:
        if event_type == DELETED:
            self.tell(StorageChange("VolumeAttachment", new, False))


def _node(node: Obj | None) -> NodeInfo | None:
    if node is None:
        return None
    info = NodeInfo(node["metadata"]["name"])
    info.set_node(node)
    return info


def _own_change(old: Obj, new: Obj) -> OwnChange:
    before, after = old["spec"], new["spec"]
    if old["metadata"].get("generation") == new["metadata"].get("generation") and labels(old) == labels(new):
        return OwnChange(tolerations=False, labels=False, less=False)
    wanted, wants = demand(old).requests, demand(new).requests
    return OwnChange(
        tolerations=len(before.get("tolerations") or ()) != len(after.get("tolerations") or ()),
        labels=labels(old) != labels(new),
        less=any(value > wants.get(name, 0) for name, value in wanted.items()),
    )


def _asks_anew(old: Obj, new: Obj) -> bool:
    """Whether a placed pod's change touches what decisions are made of; most changes are of its status."""
    if old["metadata"].get("generation") != new["metadata"].get("generation") or labels(old) != labels(new):
        return True
    resized = any("resources" in entry for entry in (new.get("status") or {}).get("containerStatuses") or ())
    return resized and demand(old, placed=True) != demand(new, placed=True)


def _offers(node: Obj) -> tuple[object, ...]:
    spec, status = node.get("spec") or {}, node.get("status") or {}
    offered = status.get("allocatable") or status.get("capacity")
    return labels(node), spec.get("taints"), spec.get("unschedulable"), offered, status.get("images")
