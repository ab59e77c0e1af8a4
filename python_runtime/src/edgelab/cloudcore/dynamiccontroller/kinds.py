"""Which kind a resource is, asked of the API server once."""

from __future__ import annotations

from edgelab.kube.discovery import served
from edgelab.kube.interface import RawApi, Resource
from edgelab.objects.status import ApiError
from edgelab.protocol.content.applications import Key


class Kinds:
    """Discovery, remembered by group and version; what is not found is asked for again each time."""

    def __init__(self, api: RawApi) -> None:
        self._api = api
        self._known: dict[tuple[str, str, str], Resource] = {}

    async def find(self, key: Key) -> Resource:
        """The resource of an application. Raises ApiError (404) and Unreachable."""
        wanted = (key.group, key.version, key.resource)
        if wanted not in self._known:
            for resource in await served(self._api, key.group, key.version):
                self._known[key.group, key.version, resource.plural] = resource
        if wanted not in self._known:
            raise ApiError(404, "the server could not find the requested resource")
        return self._known[wanted]
