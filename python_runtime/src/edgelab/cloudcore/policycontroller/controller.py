"""PolicyController: keeps a ServiceAccountAccess for each account of pods on edge nodes, and brings it there.

Receives: Pods, Nodes, ServiceAccounts, Roles and bindings from informers. Writes: ServiceAccountAccess
objects, whose status names the nodes. Sends: pushes through CloudHub; nodes acknowledge them.
Stores: which account has pods where, in memory. When a node is away SyncController brings what it missed;
without the API, accounts are worked on again with growing delays.
Runs when the gate requireAuthorization is set: then MetaServers decide with these objects.
Facts: KubeEdge `cloud/pkg/policycontroller` (docs/reference/protocol.md). Other than there, messages have
kind and apiVersion, so that what a node missed is found out and repaired.
"""

from __future__ import annotations

import logging

from edgelab.cloudcore.cluster import EDGE_LABEL, Cluster
from edgelab.cloudcore.interfaces import Courier
from edgelab.cloudcore.policycontroller.rules import Rbac, access_of
from edgelab.cloudcore.policycontroller.users import AccountUsers
from edgelab.cloudcore.workqueue import WorkQueue
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.kube.informer import DELETED, Key
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import (
    ACCESSES,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    NODES,
    PODS,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
)
from edgelab.objects.metadata import key_of, labels
from edgelab.objects.status import ApiError
from edgelab.protocol.session.delivery import of_object

log = logging.getLogger("edgelab.cloudcore.policy")

SOURCE = "policycontroller"
INSERT, UPDATE, DELETE = "insert", "update", "delete"


class PolicyController:
    """A module. Call `start` once the informers have listed everything."""

    name = "policycontroller"

    def __init__(self, api: KubeApi, cluster: Cluster, courier: Courier, clock: Clock = SYSTEM) -> None:
        self._api = api
        self._cluster = cluster
        self._courier = courier
        self._accesses, self._accounts = cluster[ACCESSES], cluster[SERVICE_ACCOUNTS]
        self._users = AccountUsers()
        self._rbac = Rbac(
            *(cluster[k].store for k in (ROLES, CLUSTER_ROLES, ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS))
        )
        self._queue: WorkQueue[Key] = WorkQueue(self.name, self._settle, clock=clock)

    def start(self) -> None:
        """Follow the informers; what is there already is looked at first."""
        self._cluster[PODS].add_handler(self._pod_changed)
        self._cluster[NODES].add_handler(self._node_changed)
        for informer in (self._accounts, self._accesses):
            informer.add_handler(self._account_changed)
        for kind in (ROLES, CLUSTER_ROLES, ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS):
            self._cluster[kind].add_handler(self._rbac_changed)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._queue.run()

    def belongs(self, node: str, namespace: str, account: str) -> bool:
        """Whether the node should have the account's object."""
        return self._users.runs((namespace, account), node) and self._is_edge(node)

    def _pod_changed(self, event: str, _old: Obj | None, pod: Obj) -> None:
        for account in self._users.drop(key_of(pod)) if event == DELETED else self._users.put(pod):
            self._queue.add(account)

    def _node_changed(self, event: str, old: Obj | None, node: Obj) -> None:
        was, now = old is not None and _is_edge(old), event != DELETED and _is_edge(node)
        if was != now or event == DELETED:
            for account in self._users.accounts_on(node["metadata"]["name"]):
                self._queue.add(account)

    def _account_changed(self, _event: str, _old: Obj | None, obj: Obj) -> None:
        key = key_of(obj)
        if key in self._accesses.store or self._users.nodes(key):
            self._queue.add(key)

    def _rbac_changed(self, _event: str, _old: Obj | None, obj: Obj) -> None:
        for account in self._users.accounts(obj["metadata"].get("namespace") or ""):
            self._queue.add(account)

    async def _settle(self, key: Key) -> None:
        """Bring one account's object to what it should be, and the nodes to the object."""
        account, present = self._accounts.store.get(key), self._accesses.store.get(key)
        nodes = sorted(node for node in self._users.nodes(key) if self._is_edge(node))
        if account is None or not nodes:
            if present is not None:
                await self._remove(present)
            return
        try:
            obj = await self._write(key, present, access_of(account, self._rbac), nodes)
        except ApiError as error:
            if error.reason != "Conflict":
                raise
            return  # another CloudCore was faster; its change comes by the informer and is looked at then
        # By the records, not by the status: another CloudCore may have written that, for its own nodes.
        holders = set(self._courier.holders(obj["metadata"]["uid"]))
        self._tell(obj, sorted((_nodes_of(present) | holders).difference(nodes)), DELETE)
        self._tell(obj, [node for node in nodes if node in holders], UPDATE)
        self._tell(obj, [node for node in nodes if node not in holders], INSERT)

    async def _write(self, key: Key, present: Obj | None, spec: Obj, nodes: list[str]) -> Obj:
        namespace, name = key
        obj = present
        if obj is None:
            obj = await self._create(namespace, name, spec)
        if obj.get("spec") != spec:
            obj = await self._api.update(ACCESSES, {**obj, "spec": spec}, namespace)
        if sorted(_nodes_of(obj)) != nodes:
            status = {"status": {"nodeList": nodes}}
            obj = await self._api.patch(ACCESSES, name, status, namespace, subresource="status")
        return {**obj, "kind": ACCESSES.kind, "apiVersion": ACCESSES.api_version}

    async def _create(self, namespace: str, name: str, spec: Obj) -> Obj:
        try:
            return await self._api.create(ACCESSES, {"metadata": {"name": name}, "spec": spec}, namespace)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        return await self._api.get(ACCESSES, name, namespace)

    async def _remove(self, present: Obj) -> None:
        namespace, name = key_of(present)
        options = {"preconditions": {"uid": present["metadata"]["uid"]}}
        try:
            await self._api.delete(ACCESSES, name, namespace, options=options)
        except ApiError as error:
            if error.code not in (404, 409):
                raise
        log.info("no pod on an edge node runs as %s/%s any more", namespace, name)
        holders = self._courier.holders(present["metadata"]["uid"])
        self._tell(present, sorted(_nodes_of(present).union(holders)), DELETE)

    def _tell(self, obj: Obj, nodes: list[str], operation: str) -> None:
        """Which other nodes have it is none of a node's business."""
        for node in nodes:
            self._courier.push(node, of_object({**obj, "status": {}}, operation, source=SOURCE))

    def _is_edge(self, node: str) -> bool:
        obj = self._cluster[NODES].store.get(("", node))
        return obj is not None and _is_edge(obj)


def _is_edge(node: Obj) -> bool:
    return EDGE_LABEL in labels(node)


def _nodes_of(access: Obj | None) -> set[str]:
    return set(((access or {}).get("status") or {}).get("nodeList") or [])
