"""What an API server serves of one version of a group."""

from __future__ import annotations

import msgspec

from edgelab.kube.interface import RawApi, Resource


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
