"""The last lines of a container's log, asked of the API server as often as a page wants them.

Bounded: `LINES` and `BYTES` of one answer, `AT_ONCE` requests at a time (further ones wait), each for the
time that a request of the client lasts.
"""

from __future__ import annotations

import asyncio

from edgelab.daemon.errors import Unreachable
from edgelab.kube.interface import RawApi
from edgelab.kube.resources import PODS
from edgelab.objects.status import ApiError

LINES, BYTES = 500, 256 << 10
AT_ONCE = 4


class NoLog(Exception):
    """Why there is none to show."""


class Logs:
    """Reads them."""

    def __init__(self, api: RawApi) -> None:
        self._api = api
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def last(self, namespace: str, pod: str, container: str) -> str:
        """The last lines, with their times. Raises NoLog."""
        params = {
            "container": container,
            "tailLines": str(LINES),
            "limitBytes": str(BYTES),
            "timestamps": "true",
        }
        try:
            async with self._gate:
                text = await self._api.raw("GET", PODS.path(namespace, pod, "log"), params=params)
        except (ApiError, Unreachable) as error:
            raise NoLog(str(error)) from None
        return text.decode(errors="replace")
