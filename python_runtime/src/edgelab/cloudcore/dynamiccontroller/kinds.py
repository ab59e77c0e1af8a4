"""Which kind a resource is, asked of the API server once."""

from __future__ import annotations

import msgspec

from edgelab.kube.interface import RawApi, Resource
from edgelab.objects.status import ApiError
from edgelab.protocol.content.applications import Key


class _Entry(msgspec.Struct):
    name: str
    kind: str
    namespaced: bool = False


class _Entries(msgspec.Struct):
    resources: list[_Entry] = []


class Kinds:
    """Discovery, remembered by group and version; what is not found is asked for again each time."""

    def __init__(self, api: RawApi) -> None:
        self._api = api
        self._known: dict[tuple[str, str, str], Resource] = {}

    async def find(self, key: Key) -> Resource:
        """The resource of an application. Raises ApiError (404) and Unreachable."""
        wanted = (key.group, key.version, key.resource)
        if wanted not in self._known:
            path = f"/apis/{key.group}/{key.version}" if key.group else f"/api/{key.version}"
            found = msgspec.json.decode(await self._api.raw("GET", path), type=_Entries)
            for entry in found.resources:
                if "/" not in entry.name:
                    resource = Resource(key.group, key.version, entry.name, entry.kind, entry.namespaced)
                    self._known[key.group, key.version, entry.name] = resource
        if wanted not in self._known:
            raise ApiError(404, "the server could not find the requested resource")
        return self._known[wanted]
