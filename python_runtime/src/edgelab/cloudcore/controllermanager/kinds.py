"""Where the kinds of manifests are served, asked of the API server once."""

from __future__ import annotations

import msgspec

from edgelab.kube.interface import RawApi, Resource
from edgelab.objects.status import ApiError


class _Entry(msgspec.Struct):
    name: str
    kind: str
    namespaced: bool = False


class _Entries(msgspec.Struct):
    resources: list[_Entry] = []


class Kinds:
    """Discovery, remembered by apiVersion and kind; what is not found is asked for again each time."""

    def __init__(self, api: RawApi) -> None:
        self._api = api
        self._known: dict[tuple[str, str], Resource] = {}

    async def find(self, api_version: str, kind: str) -> Resource | None:
        """The resource of a kind; None when it is not served. Raises ApiError and Unreachable."""
        if (api_version, kind) not in self._known:
            group, _, version = api_version.rpartition("/")
            for entry in await self._served(group, version):
                if "/" not in entry.name:
                    resource = Resource(group, version, entry.name, entry.kind, entry.namespaced)
                    self._known[api_version, entry.kind] = resource
        return self._known.get((api_version, kind))

    async def _served(self, group: str, version: str) -> list[_Entry]:
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        try:
            return msgspec.json.decode(await self._api.raw("GET", path), type=_Entries).resources
        except ApiError as error:
            if error.code != 404:
                raise
            return []
