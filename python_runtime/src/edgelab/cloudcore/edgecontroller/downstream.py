"""API objects on their way to edge nodes: pods, what they use, and the nodes' own objects.

Receives: changes from informers. Sends: pushes through CloudHub, which knows what a node has already.
Stores: which node uses what, in memory.
When a node is away, nothing is kept for it here: `bring(node)` is called when it comes back.
Facts: KubeEdge `cloud/pkg/edgecontroller/controller/downstream.go` (docs/reference/protocol.md).
"""

from __future__ import annotations

import logging

from edgelab.cloudcore.cluster import EDGE_LABEL, Cluster
from edgelab.cloudcore.edgecontroller.references import Reference, ReferenceIndex
from edgelab.cloudcore.interfaces import Courier
from edgelab.kube.informer import ADDED, DELETED
from edgelab.kube.interface import Obj
from edgelab.kube.resources import CONFIG_MAPS, NODES, PODS, SECRETS
from edgelab.objects.metadata import key_of
from edgelab.protocol.session.delivery import of_object

log = logging.getLogger("edgelab.cloudcore.downstream")

INSERT, UPDATE, DELETE = "insert", "update", "delete"


class Downstream:
    """Turns informer events into pushes. Call `start` once the informers have listed everything."""

    def __init__(self, cluster: Cluster, courier: Courier, index: ReferenceIndex) -> None:
        self._nodes, self._pods = cluster[NODES], cluster[PODS]
        self._configuration = (cluster[CONFIG_MAPS], cluster[SECRETS])
        self._courier = courier
        self._index = index

    def start(self) -> None:
        """Follow the informers; what is there already is looked at first."""
        self._pods.add_handler(self._pod_changed)
        self._nodes.add_handler(self._node_changed)
        for informer in self._configuration:
            informer.add_handler(self._configuration_changed)

    def bring(self, node: str) -> None:
        """Push what a node that has just connected should have."""
        obj = self._nodes.store.get(("", node))
        if obj is not None:
            self._courier.push(node, of_object(obj, UPDATE))
        self._bring_pods(node)

    def is_edge(self, node: str) -> bool:
        """Whether the node is ours to serve: labelled as an edge node, or connected."""
        obj = self._nodes.store.get(("", node))
        labels = (obj or {}).get("metadata", {}).get("labels") or {}
        return EDGE_LABEL in labels or self._courier.known(node)

    def _bring_pods(self, node: str) -> None:
        for key in self._index.pods_on(node):
            pod = self._pods.store.get(key)
            if pod is not None:
                self._courier.push(node, of_object(pod, _operation_of(pod)))

    def _pod_changed(self, event: str, _old: Obj | None, pod: Obj) -> None:
        key = key_of(pod)
        node = (pod.get("spec") or {}).get("nodeName", "")
        if event == DELETED:
            self._index.drop(key)
        elif node:
            self._index.put(key, node, pod)
        if not node or not self.is_edge(node):
            return
        # One that the scheduler has just bound is an update too, as in the original: nodes take either.
        operation = {DELETED: DELETE, ADDED: _operation_of(pod)}.get(event, UPDATE)
        self._courier.push(node, of_object(pod, operation))

    def _node_changed(self, event: str, old: Obj | None, node: Obj) -> None:
        name = node["metadata"]["name"]
        if event == DELETED:
            # The node learns of it by losing its session; no message is sent.
            self._courier.disconnect(name, "its Node was deleted")
            return
        if not self.is_edge(name):
            return
        self._courier.push(name, of_object(node, UPDATE))
        labels = ((old or {}).get("metadata") or {}).get("labels") or {}
        if event == ADDED or EDGE_LABEL not in labels:
            self._bring_pods(name)

    def _configuration_changed(self, event: str, _old: Obj | None, obj: Obj) -> None:
        operation = INSERT if event == ADDED else DELETE if event == DELETED else UPDATE
        users = self._index.nodes_using(Reference(obj["kind"], *key_of(obj)))
        for node in users.union(self._courier.holders(obj["metadata"].get("uid", ""))):
            if self.is_edge(node):
                self._courier.push(node, of_object(obj, operation))


def _operation_of(pod: Obj) -> str:
    """A pod that is new to the node is inserted, unless it is on its way out already."""
    return UPDATE if pod["metadata"].get("deletionTimestamp") else INSERT
