"""The pages of a kubelet about what is used, made when the first of them is asked for."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgelab.cri.runtime import Runtime
from edgelab.daemon.clock import Clock
from edgelab.edgecore.kubelet import Answer, Request

if TYPE_CHECKING:
    from edgelab.edgecore.edged.streams.usage import Meter

Obj = dict[str, Any]


class Pages:
    """`pods` gives the node's pods with their status, `root` is a directory of the node's file system."""

    def __init__(
        self, runtime: Runtime, pods: Callable[[], list[Obj]], clock: Clock, *, node: str, root: Path
    ) -> None:
        self._runtime = runtime
        self._pods = pods
        self._clock = clock
        self._name = node
        self._root = root

    @cached_property
    def _meter(self) -> Meter:
        from edgelab.edgecore.edged.streams.usage import Meter  # noqa: PLC0415 - only once somebody asks

        return Meter(self._runtime, self._pods, self._clock)

    async def resource(self, _request: Request) -> Answer:
        """`/metrics/resource`."""
        from edgelab.edgecore.edged.streams import resources  # noqa: PLC0415 - only once somebody asks

        return Answer(_once(await resources.text(self._meter)), resources.CONTENT_TYPE)

    async def summary(self, _request: Request) -> Answer:
        """`/stats/summary`. Raises RuntimeUnreachable and CriError."""
        from edgelab.edgecore.edged.streams import summary  # noqa: PLC0415 - only once somebody asks

        return Answer(_once(await summary.text(self._meter, self._name, self._root)), summary.CONTENT_TYPE)


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
