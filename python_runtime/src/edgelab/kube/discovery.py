"""What an API server serves of one version of a group."""

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


async def served(api: RawApi, group: str, version: str) -> list[Resource]:
    """All resources but subresources. Raises ApiError (404 where there is no such version), Unreachable."""
    path = f"/apis/{group}/{version}" if group else f"/api/{version}"
    found = msgspec.json.decode(await api.raw("GET", path), type=_Entries)
    return [
        Resource(group, version, entry.name, entry.kind, entry.namespaced)
        for entry in found.resources
        if "/" not in entry.name
    ]


async def discover(api: RawApi, api_version: str) -> list[Resource]:
    """The same of `v1` or `apps/v1`; none when the server does not have it."""
    group, _, version = api_version.rpartition("/")
    try:
        return await served(api, group, version)
    except ApiError as error:
        if error.code == 404:
            return []
        raise
