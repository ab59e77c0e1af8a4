"""Watches of edge nodes: one informer for everybody who watches the same, as long as somebody does.

Receives: objects from informers. Sends: pushes through CloudHub, which knows what a node has already.
Stores: who watches what, in memory; nodes say it again when they come back (`watchapp/sync`).
When a node is away its watches stay: `bring` is called when it is back. They end with its Node.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from edgelab.cloudcore.cloudhub.tracker import SyncTracker
from edgelab.cloudcore.dynamiccontroller.filters import for_edge
from edgelab.cloudcore.interfaces import Courier
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.errors import Unreachable
from edgelab.daemon.tasks import Supervisor, guard
from edgelab.kube.informer import ADDED, DELETED, Informer
from edgelab.kube.interface import KubeApi, Obj, Resource
from edgelab.objects.metadata import key_of
from edgelab.objects.status import ApiError
from edgelab.protocol.content.applications import Key
from edgelab.protocol.session.delivery import of_missing, of_object

log = logging.getLogger("edgelab.cloudcore.dynamic")

SOURCE = "dynamiccontroller"
LIMIT = 128
"""Watches that one node may have; one more is refused."""


class Scope(NamedTuple):
    """What is watched."""

    resource: Resource
    namespace: str = ""
    labels: str = ""
    fields: str = ""

    @property
    def key(self) -> Key:
        """The scope as a request names it."""
        return Key(self.resource.group, self.resource.version, self.resource.plural, self.namespace)

    @property
    def whole(self) -> bool:
        """Whether every object of the namespace (or of all) is in it."""
        return not self.labels and not self.fields


@dataclass(slots=True)
class Shared:
    """One informer and its listeners: ids of watches, by node."""

    scope: Scope
    informer: Informer
    task: asyncio.Task[None]
    nodes: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


class Watches:
    """Who watches what.

    `sees(node, key, object)` tells whether a node may be shown an object, `view(node, object)` how.
    """

    def __init__(
        self,
        api: KubeApi,
        courier: Courier,
        tracker: SyncTracker,
        sees: Callable[[str, Key, Obj], bool] | None,
        clock: Clock = SYSTEM,
        *,
        view: Callable[[str, Obj], Obj] = lambda node, obj: for_edge(obj),
    ) -> None:
        self._api = api
        self._courier = courier
        self._tracker = tracker
        self._sees = sees
        self._view = view
        self._clock = clock
        self._owner = Supervisor(SOURCE)
        self._shared: dict[Scope, Shared] = {}
        self._by_node: defaultdict[str, dict[str, Scope]] = defaultdict(dict)

    @property
    def scopes(self) -> list[Scope]:
        """Everything that is watched by somebody."""
        return list(self._shared)

    def ids(self, node: str) -> set[str]:
        """The ids of the node's watches."""
        return set(self._by_node.get(node) or ())

    def check_room(self, node: str) -> None:
        """Raises ApiError (429) when the node has as many watches as it may."""
        if len(self._by_node.get(node) or ()) >= LIMIT:
            raise ApiError(429, f"node {node!r} has {LIMIT} watches, and no more are kept")

    def shared(self, scope: Scope) -> bool:
        """Whether somebody watches this already."""
        return scope in self._shared

    def add(self, node: str, watch: str, scope: Scope) -> None:
        """Begin a watch; what is there is pushed, then every change."""
        if watch in self._by_node[node]:
            return
        self._by_node[node][watch] = scope
        shared = self._shared.get(scope)
        if shared is None:
            shared = self._start(scope)
        shared.nodes[node].add(watch)
        self._push_all(node, shared)

    def keep(self, node: str, watches: set[str]) -> None:
        """End all watches of the node but these."""
        for watch in self.ids(node) - watches:
            self._drop(node, watch)

    def bring(self, node: str) -> None:
        """Push what a node that has come back misses of what it watches."""
        for scope in set((self._by_node.get(node) or {}).values()):
            shared = self._shared[scope]
            self._push_all(node, shared)
            if scope.whole and shared.informer.synced:
                self._push_missing(node, shared)

    async def close(self) -> None:
        """End all informers."""
        await self._owner.close()

    def _start(self, scope: Scope) -> Shared:
        informer = Informer(
            self._api,
            scope.resource,
            scope.namespace or None,
            label_selector=scope.labels,
            field_selector=scope.fields,
            clock=self._clock,
        )
        name = f"{scope.resource.plural}/{scope.namespace or '*'}"
        task = self._owner.spawn(guard(name, informer.run()), name)
        shared = self._shared[scope] = Shared(scope, informer, task)
        informer.add_handler(lambda event, _old, obj: self._changed(shared, event, obj))
        return shared

    def _drop(self, node: str, watch: str) -> None:
        scope = self._by_node[node].pop(watch)
        if not self._by_node[node]:
            del self._by_node[node]
        shared = self._shared[scope]
        shared.nodes[node].discard(watch)
        if not shared.nodes[node]:
            del shared.nodes[node]
        if not shared.nodes:
            shared.task.cancel()
            del self._shared[scope]

    def _push_all(self, node: str, shared: Shared) -> None:
        for obj in list(shared.informer.store.values()):
            self._push(node, shared.scope, "insert", obj)

    def _push_missing(self, node: str, shared: Shared) -> None:
        scope, resource = shared.scope, shared.scope.resource
        present = {obj["metadata"].get("uid") for obj in shared.informer.store.values()}
        for uid, entry in list(self._tracker.entries(node).items()):
            kind = (entry.api_version, entry.kind) == (resource.api_version, resource.kind)
            inside = not scope.namespace or entry.namespace == scope.namespace
            if kind and inside and not entry.gone and uid not in present:
                identity = (entry.kind, entry.api_version, entry.namespace, entry.name, uid)
                self._courier.push(node, of_missing(*identity, source=SOURCE))

    def _changed(self, shared: Shared, event: str, obj: Obj) -> None:
        if event == DELETED and not shared.scope.whole:
            # It may only have left the selection: then the node is told how it is now.
            self._owner.spawn(self._left(shared, obj), f"left/{'/'.join(key_of(obj))}")
            return
        operation = "insert" if event == ADDED else "delete" if event == DELETED else "update"
        for node in list(shared.nodes):
            self._push(node, shared.scope, operation, obj)

    async def _left(self, shared: Shared, obj: Obj) -> None:
        resource, (namespace, name) = shared.scope.resource, key_of(obj)
        operation = "delete"
        try:
            found = await self._api.get(resource, name, namespace or None)
        except (ApiError, Unreachable):  # gone, or nobody knows: the node lists again when it is back
            found = {"metadata": {}}
        if found["metadata"].get("uid") == obj["metadata"].get("uid"):
            kind = {"kind": resource.kind, "apiVersion": resource.api_version}
            operation, obj = "update", {**found, **kind}
        for node in list(shared.nodes):
            self._push(node, shared.scope, operation, obj)

    def _push(self, node: str, scope: Scope, operation: str, obj: Obj) -> None:
        if self._sees is None or self._sees(node, scope.key, obj):
            self._courier.push(node, of_object(self._view(node, obj), operation, source=SOURCE))
