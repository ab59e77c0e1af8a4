"""The collector: follows the metadata of every kind, deletes what nobody owns any more.

Receives all objects (metadata only) and definitions of custom resources. Writes deletions of
dependents whose owners are gone, owner references that point to nothing, and the finalizers
`foregroundDeletion` and `orphan`. An owner is taken for gone only after the API itself has said so.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable

from edgelab.daemon.tasks import Supervisor
from edgelab.edgesite.controllers.garbage.graph import (
    FOREGROUND,
    ORPHAN,
    Graph,
    Identity,
    Item,
    item_of,
    slim,
)
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.kinds import custom_resource
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.kube.informer import DELETED, Informer, Key
from edgelab.kube.interface import Obj, PatchType, Resource
from edgelab.kube.resources import CRDS, EVENTS
from edgelab.objects.status import ApiError

REMEMBERED = 4096
"""So many deleted owners are known without asking."""


class GarbageCollector:
    """A module; its queue holds identities, encoded as a kind and `namespace/name`."""

    name = "garbage-collector"

    def __init__(self, cluster: Cluster, kinds: Iterable[Resource]) -> None:
        self._cluster = cluster
        self._graph = Graph()
        self._kinds: dict[tuple[str, str], Resource] = {}
        self._followed: dict[Resource, asyncio.Task[None]] = {}
        self._gone: OrderedDict[str, None] = OrderedDict()
        """uids that the API has reported as deleted; the oldest is forgotten first."""
        self._definitions: dict[str, Resource] = {}
        self._tasks = Supervisor(self.name)
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock)
        self._start = [resource for resource in kinds if resource != EVENTS]
        self._crds = cluster.view(CRDS)

    async def run(self) -> None:
        """Follow every kind; start deleting when all that is built in is known."""
        first = [self._follow(resource) for resource in self._start]
        self._crds.add_handler(self._on_definition)
        try:
            for informer in first:
                await informer.wait_synced()
            await self._queue.run()
        finally:
            await self._tasks.close()

    def _follow(self, resource: Resource) -> Informer:
        informer = Informer(self._cluster.api, resource, transform=slim, clock=self._cluster.clock)
        informer.add_handler(lambda event_type, _, new: self._on_object(resource, event_type, new))
        self._kinds[resource.api_version, resource.kind] = resource
        self._followed[resource] = self._tasks.spawn(informer.run(), resource.plural)
        return informer

    def _on_definition(self, event_type: str, old: Obj | None, new: Obj) -> None:
        name = new["metadata"]["name"]
        resource = custom_resource(new) if event_type != DELETED else None
        before = self._definitions.get(name)
        if resource == before:
            return
        if before is not None:
            del self._definitions[name]
            self._forget(before)
        if resource is not None:
            self._definitions[name] = resource
            self._follow(resource)

    def _forget(self, resource: Resource) -> None:
        """A kind is gone, and with it every owner of this kind."""
        self._kinds.pop((resource.api_version, resource.kind), None)
        self._followed.pop(resource).cancel()
        for item in self._graph.of(resource):
            self._graph.remove(item.identity)
            self._note_gone(item.uid)
            self._add_all(self._graph.dependents(item.uid))

    def _on_object(self, resource: Resource, event_type: str, obj: Obj) -> None:
        item = item_of(resource, obj)
        if event_type == DELETED:
            gone = self._graph.remove(item.identity)
            self._note_gone(item.uid)
            self._add_all(self._graph.dependents(gone.uid if gone else item.uid))
            self._add_owners(gone or item)
            return
        before = self._graph.get(item.identity)
        self._graph.put(item)
        if before is not None and _same(before, item):
            return
        if item.owners:
            self._add(item)
            self._add_owners(before or item)
        if item.waits_for_dependents or item.orphans_dependents:
            self._add(item)
            self._add_all(self._graph.dependents(item.uid))

    def _note_gone(self, uid: str) -> None:
        self._gone[uid] = None
        if len(self._gone) > REMEMBERED:
            self._gone.popitem(last=False)

    def _add_owners(self, item: Item) -> None:
        """An owner that waits for this item may be able to go on."""
        for reference in item.owners:
            owner = self._graph.by_uid(reference["uid"])
            if owner is not None and owner.waits_for_dependents:
                self._add(owner)

    def _add_all(self, items: Iterable[Item]) -> None:
        for item in items:
            self._add(item)

    def _add(self, item: Item) -> None:
        resource, namespace, name = item.identity
        self._queue.add((f"{resource.api_version}:{resource.kind}", f"{namespace}/{name}"))

    async def _reconcile(self, key: Key) -> None:
        version, _, kind = key[0].partition(":")
        namespace, _, name = key[1].partition("/")
        resource = self._kinds.get((version, kind))
        item = self._graph.get(Identity(resource, namespace, name)) if resource else None
        if item is None:
            return
        if item.orphans_dependents:
            await self._orphan_dependents(item)
        elif item.waits_for_dependents:
            await self._finish_foreground(item)
        if item.owners and not item.deleting:
            await self._judge(item)

    async def _orphan_dependents(self, item: Item) -> None:
        for dependent in self._graph.dependents(item.uid):
            await self._drop_owners(dependent, {item.uid})
        await self._drop_finalizer(item, ORPHAN)

    async def _finish_foreground(self, item: Item) -> None:
        """Let the owner go when nothing that blocks it is left."""
        if not any(dependent.blocks(item.uid) for dependent in self._graph.dependents(item.uid)):
            await self._drop_finalizer(item, FOREGROUND)

    async def _judge(self, item: Item) -> None:
        """Delete the item if no owner holds it, or take away the references that mean nothing."""
        solid, dangling, waiting = await self._sort_owners(item)
        if solid:
            if dangling or waiting:
                await self._drop_owners(item, dangling | waiting)
        elif waiting and self._graph.dependents(item.uid):
            # Its own dependents have to go first, or the owner above would not have waited for all.
            await self._delete(item, "Foreground")
        elif dangling or waiting:
            policy = {ORPHAN: "Orphan", FOREGROUND: "Foreground"}
            chosen = next((policy[name] for name in item.finalizers if name in policy), "Background")
            await self._delete(item, chosen)

    async def _sort_owners(self, item: Item) -> tuple[set[str], set[str], set[str]]:
        """uids of owners that exist, that are gone, and that wait for their dependents."""
        solid: set[str] = set()
        dangling: set[str] = set()
        waiting: set[str] = set()
        for reference in item.owners:
            uid = reference["uid"]
            owner = self._graph.by_uid(uid)
            if owner is not None and owner.waits_for_dependents and reference.get("blockOwnerDeletion"):
                waiting.add(uid)
            elif owner is not None:
                solid.add(uid)
            elif uid in self._gone or not await self._exists(reference, item.identity.namespace):
                dangling.add(uid)
            else:
                solid.add(uid)
        return solid, dangling, waiting

    async def _exists(self, reference: Obj, namespace: str) -> bool:
        """Ask the API itself: the watch of the owner's kind may be behind. An unknown kind is let be."""
        resource = self._kinds.get((reference["apiVersion"], reference["kind"]))
        if resource is None:
            group = reference["apiVersion"].rpartition("/")[0]
            resource = next(
                (r for (_, k), r in self._kinds.items() if (r.group, k) == (group, reference["kind"])), None
            )
        if resource is None or (resource.namespaced and not namespace):
            return True
        where = namespace if resource.namespaced else None
        try:
            owner = await self._cluster.api.get(resource, reference["name"], where)
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        return bool(owner["metadata"]["uid"] == reference["uid"])

    async def _delete(self, item: Item, policy: str) -> None:
        options = {"propagationPolicy": policy, "preconditions": {"uid": item.uid}}
        resource, namespace, name = item.identity
        try:
            await self._cluster.api.delete(resource, name, namespace or None, options=options)
        except ApiError as error:
            if error.code != 404:
                raise

    async def _drop_owners(self, item: Item, uids: set[str]) -> None:
        owners = [reference for reference in item.owners if reference["uid"] not in uids]
        await self._patch(item, {"ownerReferences": owners or None})

    async def _drop_finalizer(self, item: Item, finalizer: str) -> None:
        await self._patch(item, {"finalizers": [f for f in item.finalizers if f != finalizer] or None})

    async def _patch(self, item: Item, metadata: Obj) -> None:
        """Change metadata of this very version; a conflict makes the queue look again."""
        resource, namespace, name = item.identity
        patch = {"metadata": {"uid": item.uid, "resourceVersion": item.version, **metadata}}
        try:
            await self._cluster.api.patch(
                resource, name, patch, namespace or None, patch_type=PatchType.MERGE
            )
        except ApiError as error:
            if error.code != 404:
                raise


def _same(before: Item, after: Item) -> bool:
    """Whether a change means nothing to the collector."""
    return (before.uid, before.owners, before.finalizers, before.deleting) == (
        after.uid,
        after.owners,
        after.finalizers,
        after.deleting,
    )
