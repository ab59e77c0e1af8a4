"""What every client of the Kubernetes API in this runtime can do.

`edgelab.kube.client.HttpClient` talks to a server; EdgeSite's controllers use an in-process
implementation of the same protocol. Objects are plain dicts and are never shared: a caller may
change what it receives. All methods raise `edgelab.objects.status.ApiError`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypeAlias

Obj: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """One kind of API object and where it is served."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`v1` or `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(
        self, namespace: str | None = None, name: str | None = None, subresource: str | None = None
    ) -> str:
        """URL path of the collection, the object or its subresource."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/" + "/".join(parts)


class PatchType(StrEnum):
    """Content types of PATCH requests."""

    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


class ObjectList(NamedTuple):
    """Answer of a list: the objects (kind and apiVersion set) and the collection's resourceVersion."""

    items: list[Obj]
    resource_version: str


class WatchEvent(NamedTuple):
    """ADDED, MODIFIED, DELETED or BOOKMARK, and the object."""

    type: str
    object: Obj


class RawApi(Protocol):
    """Requests by method and path, for those who hand on what others ask for.

    Raises ApiError and `daemon.errors.Unreachable`.
    """

    async def raw(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> bytes:
        """The bytes of an answer. `body` is data, or bytes that are sent as they are."""
        ...


class ListWatch(Protocol):
    """What an informer needs. `namespace=None` means all namespaces."""

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> ObjectList:
        """Read a collection."""
        ...

    def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        opened: Callable[[], None] | None = None,
    ) -> AsyncIterator[WatchEvent]:
        """Changes after `resource_version`; ApiError 410 when they are no longer kept.

        `opened` is called when the server has accepted the watch: the first change may be long in coming.
        """
        ...


class KubeApi(ListWatch, Protocol):
    """All verbs; `namespace=None` also means a cluster-scoped object."""

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Obj:
        """Read one object."""
        ...

    async def create(
        self, resource: Resource, obj: Obj, namespace: str | None = None, *, subresource: str | None = None
    ) -> Obj:
        """Create; with a subresource (`token`, `binding`, `eviction`) the name is the object's own."""
        ...

    async def update(
        self, resource: Resource, obj: Obj, namespace: str | None = None, *, subresource: str | None = None
    ) -> Obj:
        """Replace; a resourceVersion in the object makes it conditional (409 Conflict)."""
        ...

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
        """Change a part; `patch` is data, or bytes of JSON to be sent as they are."""
        ...

    async def delete(
        self, resource: Resource, name: str, namespace: str | None = None, *, options: Obj | None = None
    ) -> Obj:
        """Delete; `options` is a DeleteOptions object."""
        ...
