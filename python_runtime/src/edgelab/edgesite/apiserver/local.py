"""The API without HTTP: `edgelab.kube.interface.KubeApi` straight on the registry, as administrator."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.context import Context, Target
from edgelab.edgesite.apiserver.kinds import Kind, Kinds
from edgelab.edgesite.apiserver.listoptions import ListOptions
from edgelab.edgesite.apiserver.reads import INITIAL_END, Filter, parse_filter
from edgelab.edgesite.apiserver.refusals import NOT_FOUND
from edgelab.edgesite.apiserver.service import ApiService
from edgelab.kube.interface import Obj, ObjectList, PatchType, Resource, WatchEvent
from edgelab.objects.status import ApiError

MANAGER = "edgesite"


class LocalApi:
    """What EdgeSite's controllers and scheduler use. A kind that is not served answers 404."""

    def __init__(self, service: ApiService) -> None:
        self._service = service

    @property
    def _kinds(self) -> Kinds:
        return self._service.registry.kinds

    def _kind(self, resource: Resource) -> Kind:
        kind = self._kinds.find(resource.group, resource.version, resource.plural)
        if kind is None:
            raise ApiError(404, NOT_FOUND)
        return kind

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Obj:
        """Read one object."""
        kind = self._kind(resource)
        await self._service.registry.prepare(kind, namespace or "", name)
        entry = self._service.registry.get(kind, namespace or "", name)
        return codec.decode(codec.convert(entry.data, kind))

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> ObjectList:
        """Read a collection."""
        kind = self._kind(resource)
        where = parse_filter(kind, label_selector, field_selector)
        page = await self._service.reader.page(kind, namespace or "", where, ListOptions())
        items = [codec.decode(codec.convert(entry.data, kind)) for entry in page.entries]
        return ObjectList(items, str(page.revision))

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        opened: Callable[[], None] | None = None,
    ) -> AsyncIterator[WatchEvent]:
        """Changes after a version; ApiError 410 when they are no longer kept."""
        kind = self._kind(resource)
        where: Filter = parse_filter(kind, label_selector, field_selector)
        if opened is not None:
            opened()
        async for batch in self._service.reader.watch(kind, namespace or "", where, resource_version):
            for change in batch:
                if change.type != INITIAL_END and change.entry is not None:
                    data = codec.convert(change.entry.data, kind)
                    yield WatchEvent(change.type, codec.decode(data))

    async def create(
        self, resource: Resource, obj: Obj, namespace: str | None = None, *, subresource: str | None = None
    ) -> Obj:
        """Create; with a subresource the name is the object's own."""
        kind, context = self._kind(resource), Context(field_manager=MANAGER)
        where = namespace or obj.get("metadata", {}).get("namespace") or ""
        if subresource:
            name = obj["metadata"]["name"]
            return await self._service.create_sub(Target(kind, where, name, subresource), obj, context)
        entry = await self._service.registry.create(kind, where, obj, context)
        return codec.decode(codec.convert(entry.data, kind))

    async def update(
        self, resource: Resource, obj: Obj, namespace: str | None = None, *, subresource: str | None = None
    ) -> Obj:
        """Replace; a resourceVersion in the object makes it conditional."""
        kind = self._kind(resource)
        where = namespace or obj["metadata"].get("namespace") or ""
        name = obj["metadata"]["name"]
        await self._service.registry.prepare(kind, where, name)
        data = await self._service.update(
            Target(kind, where, name, subresource or ""), obj, Context(field_manager=MANAGER)
        )
        return codec.decode(data)

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        namespace: str | None = None,
        *,
        patch_type: PatchType = PatchType.MERGE,
        subresource: str | None = None,
    ) -> Obj:
        """Change a part; `patch` is data, or bytes of JSON."""
        kind = self._kind(resource)
        body = msgspec.json.decode(patch) if isinstance(patch, bytes) else patch
        context = Context(field_manager=MANAGER)
        await self._service.registry.prepare(kind, namespace or "", name)
        return codec.decode(
            await self._service.patch(
                Target(kind, namespace or "", name, subresource or ""), body, patch_type, context
            )
        )

    async def delete(
        self, resource: Resource, name: str, namespace: str | None = None, *, options: Obj | None = None
    ) -> Obj:
        """Delete; `options` is a DeleteOptions object."""
        kind = self._kind(resource)
        await self._service.registry.prepare(kind, namespace or "", name)
        entry, _ = await self._service.registry.delete(kind, namespace or "", name, options or {}, Context())
        return codec.decode(codec.convert(entry.data, kind))
