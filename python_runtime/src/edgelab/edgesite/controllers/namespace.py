"""Namespaces that are being deleted: emptied, then let go (pkg/controller/namespace).

Receives namespaces (and, to go on at once, the end of their pods). Deletes everything in them,
reports what remains in their conditions, and removes the finalizer `kubernetes` when nothing does.
"""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Callable, Iterable

from edgelab.daemon.clock import rfc3339
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.kube.informer import DELETED, Key
from edgelab.kube.interface import Obj, Resource
from edgelab.kube.resources import NAMESPACES, PODS
from edgelab.objects.metadata import is_deleting, set_condition
from edgelab.objects.status import ApiError

FINALIZER = "kubernetes"
AGAIN_SECONDS = 5.0
"""What remains (finalizers of others) is looked at again after this time."""


class NamespaceController:
    """A module; its queue holds the keys of namespaces. `kinds` gives every kind that is served now."""

    name = "namespace-controller"

    def __init__(self, cluster: Cluster, kinds: Callable[[], Iterable[Resource]]) -> None:
        self._cluster = cluster
        self._kinds = kinds
        self._namespaces = cluster.view(NAMESPACES)
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, [self._namespaces])
        self._namespaces.add_handler(self._on_namespace)
        cluster.view(PODS).add_handler(self._on_pod)

    async def run(self) -> None:
        """Empty namespaces."""
        await self._queue.run()

    def _on_namespace(self, event_type: str, old: Obj | None, new: Obj) -> None:
        if is_deleting(new) and event_type != DELETED:
            self._queue.add_object(new)

    def _on_pod(self, event_type: str, old: Obj | None, new: Obj) -> None:
        if event_type != DELETED:
            return
        namespace = self._namespaces.get(new["metadata"]["namespace"])
        if namespace is not None and is_deleting(namespace):
            self._queue.add_object(namespace)

    async def _reconcile(self, key: Key) -> float | None:
        namespace = self._namespaces.get(key[1])
        if namespace is None or not is_deleting(namespace):
            return None
        if FINALIZER not in (namespace["spec"].get("finalizers") or []):
            return None
        remaining: dict[str, int] = {}
        finalizers: dict[str, int] = {}
        failures: list[str] = []
        await self._empty(PODS, key[1], remaining, finalizers, failures)
        if remaining and not failures:
            # What pods use goes after them; until then nothing is told of what remains.
            await self._report(namespace, {}, {}, failures)
            return AGAIN_SECONDS
        for resource in self._kinds():
            if resource.namespaced and resource != PODS:
                await self._empty(resource, key[1], remaining, finalizers, failures)
        if not remaining and not failures:
            await self._let_go(namespace)
            return None
        await self._report(namespace, remaining, finalizers, failures)
        return AGAIN_SECONDS

    async def _empty(
        self,
        resource: Resource,
        namespace: str,
        remaining: dict[str, int],
        finalizers: dict[str, int],
        failures: list[str],
    ) -> None:
        """Delete all objects of one kind and count what does not go at once."""
        kind = f"{resource.plural}.{resource.group}"
        try:
            for obj in (await self._cluster.api.list(resource, namespace)).items:
                if not is_deleting(obj):
                    await self._cluster.delete(resource, obj, "Background")
            left = (await self._cluster.api.list(resource, namespace)).items
        except ApiError as error:
            if error.code not in (404, 405):
                failures.append(error.message)
            return
        if left:
            remaining[kind] = len(left)
        for obj in left:
            for finalizer in obj["metadata"].get("finalizers") or ():
                finalizers[finalizer] = finalizers.get(finalizer, 0) + 1

    async def _let_go(self, namespace: Obj) -> None:
        changed = copy.deepcopy(namespace)
        kept = [item for item in namespace["spec"]["finalizers"] if item != FINALIZER]
        changed["spec"]["finalizers"] = kept
        try:
            await self._cluster.update(NAMESPACES, changed, "finalize")
        except ApiError as error:
            if error.code != 404:
                raise

    async def _report(
        self, namespace: Obj, remaining: dict[str, int], finalizers: dict[str, int], failures: list[str]
    ) -> None:
        changed = copy.deepcopy(namespace)
        now = self._cluster.clock.now()
        moved = [set_condition(changed, item) for item in conditions(remaining, finalizers, failures, now)]
        if any(moved):
            await self._cluster.update(NAMESPACES, changed, "status")


def conditions(
    remaining: dict[str, int], finalizers: dict[str, int], failures: list[str], now: dt.datetime
) -> list[Obj]:
    """What is going on, worded as pkg/controller/namespace/deletion/status_condition_utils.go words it."""
    left = ", ".join(f"{kind} has {count} resource instances" for kind, count in sorted(remaining.items()))
    held = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(finalizers.items()))
    deleted = ("ContentDeleted", "All content successfully deleted, may be waiting on finalization")
    removed = ("ContentRemoved", "All content successfully removed")
    free = ("ContentHasNoFinalizers", "All content-preserving finalizers finished")
    if failures:
        text = ", ".join(sorted(failures))
        deleted = (
            "ContentDeletionFailed",
            f"Failed to delete all resource types, {len(failures)} remaining: {text}",
        )
    if left:
        removed = ("SomeResourcesRemain", f"Some resources are remaining: {left}")
    if held:
        free = ("SomeFinalizersRemain", f"Some content in the namespace has finalizers remaining: {held}")
    discovered = ("ResourcesDiscovered", "All resources successfully discovered")
    parsed = ("ParsedGroupVersions", "All legacy kube types successfully parsed")
    table = [
        ("NamespaceDeletionDiscoveryFailure", False, discovered),
        ("NamespaceDeletionGroupVersionParsingFailure", False, parsed),
        ("NamespaceDeletionContentFailure", bool(failures), deleted),
        ("NamespaceContentRemaining", bool(left), removed),
        ("NamespaceFinalizersRemaining", bool(held), free),
    ]
    return [
        {
            "type": kind,
            "status": str(value),
            "lastTransitionTime": rfc3339(now),
            "reason": reason,
            "message": message,
        }
        for kind, value, (reason, message) in table
    ]
