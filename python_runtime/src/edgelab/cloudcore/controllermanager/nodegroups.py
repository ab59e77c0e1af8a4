"""NodeGroupController: labels the nodes of each NodeGroup.

Receives: NodeGroups, Nodes and Pods from informers. Writes: labels of Nodes (conditional on their
version: of two groups that select a node the first one gets it), the status and finalizer of NodeGroups.
Deletes: pods that ran on a node because of its group, once it is in it no more. Stores nothing: what is
found decides. Without the API, groups are worked on again with growing delays. Facts: KubeEdge
`nodegroupcontroller.go` (docs/reference/node-groups.md says what differs).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from edgelab.cloudcore.cluster import Cluster
from edgelab.cloudcore.workqueue import WorkQueue
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.kube.informer import DELETED
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import NODE_GROUPS, NODES, PODS
from edgelab.objects.edgeapps.groups import is_pinned, joined, kept_by, left, selects, statuses
from edgelab.objects.edgeapps.names import BELONGING_TO, FINALIZER
from edgelab.objects.metadata import condition, is_deleting, key_of, labels
from edgelab.objects.status import ApiError

log = logging.getLogger("edgelab.cloudcore.nodegroups")


class NodeGroupController:
    """A module. Call `start` once the informers have listed everything."""

    name = "controllermanager/nodegroups"

    def __init__(self, api: KubeApi, cluster: Cluster, clock: Clock = SYSTEM) -> None:
        self._api = api
        self._groups, self._nodes, self._pods = cluster[NODE_GROUPS], cluster[NODES], cluster[PODS]
        self._queue: WorkQueue[str] = WorkQueue(self.name, self._settle, workers=1, clock=clock)

    def start(self) -> None:
        """Follow the informers; what is there already is looked at first."""
        self._groups.add_handler(self._group_changed)
        self._nodes.add_handler(self._node_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run()

    def _group_changed(self, _event: str, _old: Obj | None, group: Obj) -> None:
        self._queue.add(group["metadata"]["name"])
        for other in self._by_name():  # it may have kept a node from another one
            if other != group["metadata"]["name"]:
                self._queue.add(other)

    def _node_changed(self, event: str, old: Obj | None, node: Obj) -> None:
        if event != DELETED and old is not None and _shown(old) == _shown(node):
            return
        for name, group in self._by_name().items():
            states = [state for state in (old, node) if state is not None]
            if any(selects(group, state) or labels(state).get(BELONGING_TO) == name for state in states):
                self._queue.add(name)

    def _by_name(self) -> dict[str, Obj]:
        return {name: group for (_, name), group in self._groups.store.items()}

    async def _settle(self, name: str) -> None:
        """Bring the nodes of a group to what they should be, and the group to what its nodes are."""
        group = self._groups.store.get(("", name))
        if group is None:
            return
        if is_deleting(group):
            members = list(self._members(name))
            await self._leave(name, members)
            if not members:  # else their changes come back by the informer, and pods are looked at once more
                await self._set_finalizer(group, present=False)
            return
        await self._set_finalizer(group, present=True)
        selected = [node for node in self._nodes.store.values() if selects(group, node)]
        names = {node["metadata"]["name"] for node in selected}
        await self._leave(
            name, [node for node in self._members(name) if node["metadata"]["name"] not in names]
        )
        refused: dict[str, str] = {}
        for node in selected:
            owner = kept_by(group, node, self._by_name())
            if owner is None:
                await self._label(node, joined(group, node))
            else:
                node_name = node["metadata"]["name"]
                refused[node_name] = f"node {node_name} has already belonged to NodeGroup {owner}"
        status = statuses(group, selected, refused)
        if ((group.get("status") or {}).get("nodeStatuses") or []) != status:
            change = {"status": {"nodeStatuses": status}}
            await self._api.patch(NODE_GROUPS, name, change, subresource="status")

    def _members(self, group: str) -> Iterator[Obj]:
        return (node for node in self._nodes.store.values() if labels(node).get(BELONGING_TO) == group)

    async def _leave(self, group: str, nodes: list[Obj]) -> None:
        """Take the labels off nodes, then the pods that ran there because of them.

        All that are found, not only those of these nodes: an earlier attempt may have come half way.
        """
        for node in nodes:
            await self._label(node, left(group, node))
        for pod in list(self._pods.store.values()):
            node_name = (pod.get("spec") or {}).get("nodeName") or ""
            if is_deleting(pod) or not is_pinned(pod, node_name, group):
                continue
            if node_name and await self._group_of(node_name, group) != group:
                await self._evict(pod, group)

    async def _group_of(self, node: str, believed: str) -> str | None:
        """The group of a node: by the informer while that agrees, else asked of the API.

        A pod may be known here before the label that brought it to its node."""
        known = self._nodes.store.get(("", node))
        if known is not None and labels(known).get(BELONGING_TO) == believed:
            return believed
        try:
            return labels(await self._api.get(NODES, node)).get(BELONGING_TO)
        except ApiError as error:
            if error.code != 404:
                raise
            return believed  # of a node that is gone the pods are the garbage collector's

    async def _evict(self, pod: Obj, group: str) -> None:
        namespace, name = key_of(pod)
        log.info("pod %s/%s is deleted: its node is not in node group %s any more", namespace, name, group)
        try:
            options = {"preconditions": {"uid": pod["metadata"]["uid"]}}
            await self._api.delete(PODS, name, namespace, options=options)
        except ApiError as error:
            if error.code not in (404, 409):
                raise

    async def _label(self, node: Obj, changes: dict[str, str | None]) -> None:
        if not changes:
            return
        name, version = node["metadata"]["name"], node["metadata"]["resourceVersion"]
        try:
            await self._api.patch(NODES, name, {"metadata": {"labels": changes, "resourceVersion": version}})
        except ApiError as error:
            if error.code != 404:
                raise

    async def _set_finalizer(self, group: Obj, *, present: bool) -> None:
        metadata = group["metadata"]
        found = list(metadata.get("finalizers") or ())
        if (FINALIZER in found) == present:
            return
        wanted = [*found, FINALIZER] if present else [one for one in found if one != FINALIZER]
        change = {"metadata": {"finalizers": wanted, "resourceVersion": metadata["resourceVersion"]}}
        await self._api.patch(NODE_GROUPS, metadata["name"], change)


def _shown(node: Obj) -> tuple[dict[str, str], object]:
    """What groups look at."""
    return labels(node), (condition(node, "Ready") or {}).get("status")
