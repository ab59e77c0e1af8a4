"""The cluster as one process's controllers share it: one view per kind, and writes that views see."""

from __future__ import annotations

from typing import Any

from edgelab.daemon.clock import Clock, rfc3339
from edgelab.daemon.tasks import Module
from edgelab.edgesite.controllers.support.view import View
from edgelab.kube.informer import Informer
from edgelab.kube.interface import KubeApi, Obj, PatchType, Resource
from edgelab.objects.metadata import is_deleting
from edgelab.objects.status import ApiError


class Cluster:
    """Handed to every controller. `informers` run beside the controllers."""

    def __init__(self, api: KubeApi, clock: Clock) -> None:
        self.api = api
        self.clock = clock
        self._views: dict[Resource, View] = {}

    def view(self, resource: Resource) -> View:
        """The shared view of a kind, all namespaces; asked for while controllers are built."""
        if resource not in self._views:
            self._views[resource] = View(Informer(self.api, resource, clock=self.clock))
        return self._views[resource]

    @property
    def informers(self) -> list[Module]:
        """The modules that fill the views."""
        return [view.informer for view in self._views.values()]

    def stamp(self) -> str:
        """Now, as objects carry it."""
        return rfc3339(self.clock.now())

    async def create(self, resource: Resource, obj: Obj, namespace: str | None = None) -> Obj:
        """Create; the view has it at once."""
        return self._saw(resource, await self.api.create(resource, obj, namespace))

    async def update(self, resource: Resource, obj: Obj, subresource: str | None = None) -> Obj:
        """Replace, on condition that nobody else has changed it (409)."""
        namespace = obj["metadata"].get("namespace")
        return self._saw(resource, await self.api.update(resource, obj, namespace, subresource=subresource))

    async def patch(self, resource: Resource, obj: Obj, patch: Any, subresource: str | None = None) -> Obj:
        """Merge a part into the object, whatever its version; `obj` says which and of which uid."""
        metadata = obj["metadata"]
        if isinstance(patch, dict) and "uid" in metadata:
            patch = {**patch, "metadata": {**(patch.get("metadata") or {}), "uid": metadata["uid"]}}
        answer = await self.api.patch(
            resource,
            metadata["name"],
            patch,
            metadata.get("namespace"),
            patch_type=PatchType.MERGE,
            subresource=subresource,
        )
        return self._saw(resource, answer)

    async def delete(self, resource: Resource, obj: Obj, propagation: str | None = None) -> bool:
        """Delete this very object (by uid). False when it was gone already."""
        metadata = obj["metadata"]
        options: Obj = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": metadata["uid"]},
        }
        if propagation:
            options["propagationPolicy"] = propagation
        try:
            answer = await self.api.delete(
                resource, metadata["name"], metadata.get("namespace"), options=options
            )
        except ApiError as error:
            if error.code == 404:
                return False
            raise
        self._removed(resource, obj, answer)
        return True

    def _saw(self, resource: Resource, answer: Obj) -> Obj:
        if resource in self._views:
            self._views[resource].wrote(answer)
        return answer

    def _removed(self, resource: Resource, obj: Obj, answer: Obj) -> None:
        if resource not in self._views:
            return
        if answer.get("kind") == resource.kind and is_deleting(answer):
            self._views[resource].wrote(answer)
        else:
            self._views[resource].deleted(obj)
