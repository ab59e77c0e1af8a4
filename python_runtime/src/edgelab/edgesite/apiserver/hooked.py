"""Writes while webhooks are configured: others may come in between, so what was read is read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgelab.edgesite.apiserver import admissionrequests, codec
from edgelab.edgesite.apiserver.context import Context
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.updates import Edit
from edgelab.edgesite.apiserver.webhooks import Webhooks
from edgelab.edgesite.store import Entry, Key
from edgelab.objects.status import ApiError, conflict

if TYPE_CHECKING:
    from edgelab.edgesite.apiserver.registry import Registry

Obj = dict[str, Any]

ATTEMPTS = 5
KEPT = ("name", "namespace", "uid", "creationTimestamp", "generation", "resourceVersion")


class HookedWrites:
    """Create, change and delete with webhooks; the registry does the rest."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._webhooks = Webhooks(registry.store, registry.kinds, registry.admission.authorizer)

    async def create(self, kind: Kind, obj: Obj, context: Context) -> Entry:
        """Put a prepared object in place."""
        registry, metadata = self._registry, obj["metadata"]
        operation = admissionrequests.creation(kind, obj, context)
        new = await self._webhooks.mutate(operation, obj)
        if new is not None and new is not obj:
            obj = codec.conform(kind, _guarded(new, metadata), registry.kinds, context)
            registry.complete_new(kind, obj, context)
        registry.check_new(kind, obj, context)
        await self._webhooks.validate(operation, obj)
        return await registry.put_new(kind, obj, context)

    async def change(self, kind: Kind, key: Key, edit: Edit, context: Context) -> Entry:
        """Change an object; again with its newest version when another write came in between."""
        registry, namespace, name = self._registry, key.namespace, key.name
        for _ in range(ATTEMPTS):
            new, old = registry.prepare_change(kind, key, edit, context)
            version = old["metadata"].get("resourceVersion")
            operation = admissionrequests.change(kind, "UPDATE", old, context, edit.subresource)
            mutated = await self._webhooks.mutate(operation, new)
            if mutated is not None and mutated is not new:
                new = codec.conform(kind, _guarded(mutated, new["metadata"]), registry.kinds, context)
                registry.complete_change(kind, new, old, context, edit.subresource)
            registry.check_change(kind, new, old, context, edit.subresource)
            await self._webhooks.validate(operation, new)
            if registry.current(kind, namespace, name)["metadata"].get("resourceVersion") == version:
                return await registry.replace(kind, key, new, old, context)
        text = "the object has been modified; please apply your changes to the latest version and try again"
        raise conflict(kind.plural, name, text, kind.group)

    async def before_delete(self, kind: Kind, namespace: str, name: str, context: Context) -> None:
        """Ask whether an object may be deleted. Raises ApiError."""
        old = self._registry.current(kind, namespace, name)
        operation = admissionrequests.change(kind, "DELETE", old, context)
        await self._webhooks.mutate(operation, None)
        await self._webhooks.validate(operation, None)


def _guarded(new: Obj, metadata: Obj) -> Obj:
    """What a webhook leaves, without changes to what is the server's."""
    found = new.get("metadata")
    if not isinstance(found, dict):
        raise ApiError(500, "Internal error occurred: the webhook's patch does not leave an object")
    kept = {field: metadata[field] for field in KEPT if field in metadata}
    return {**new, "metadata": {**found, **kept}}
