"""Where the kinds of manifests are served, asked of the API server once."""

from __future__ import annotations

from edgelab.kube.discovery import discover
from edgelab.kube.interface import RawApi, Resource


class Kinds:
    """Discovery, remembered by apiVersion and kind; what is not found is asked for again each time."""

    def __init__(self, api: RawApi) -> None:
        self._api = api
        self._known: dict[tuple[str, str], Resource] = {}

    async def find(self, api_version: str, kind: str) -> Resource | None:
        """The resource of a kind; None when it is not served. Raises ApiError and Unreachable."""
        if (api_version, kind) not in self._known:
            for resource in await discover(self._api, api_version):
                self._known[api_version, resource.kind] = resource
        return self._known.get((api_version, kind))
