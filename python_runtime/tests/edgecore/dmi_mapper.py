"""A mapper that a test holds in its hands: it keeps what EdgeCore calls, over a real unix socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from grpclib.const import Status
from grpclib.exceptions import GRPCError

from edgelab.daemon.unixgrpc import Call, Peer, serve
from edgelab.daemon.unixsocket import listen
from edgelab.protocol.dmi import api_pb2 as pb
from edgelab.protocol.dmi.methods import MANAGER, MAPPER


class FakeMapper:
    """Keeps `(method, request)` in `heard`; calls in `refuse` are answered with an error."""

    def __init__(self, path: Path, edge: Path, protocol: str = "virtual") -> None:
        self.path = path
        self.protocol = protocol
        self.heard: list[tuple[str, Any]] = []
        self.refuse: set[str] = set()
        self._edge = Peer(str(edge))
        self._changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[FakeMapper]:
        calls = [Call(*MAPPER[name], self._answer(name)) for name in MAPPER]
        task = asyncio.create_task(serve(listen(self.path), calls))
        try:
            yield self
        finally:
            self._edge.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _answer(self, name: str) -> Callable[[Any], Any]:
        async def work(request: Any) -> Any:
            self.heard.append((name, request))
            self._changed.set()
            if name in self.refuse:
                raise GRPCError(Status.UNKNOWN, "no, thank you")
            return MAPPER[name].answer()

        return work

    async def register(self, *, with_data: bool = True, name: str = "m") -> Any:
        info = pb.MapperInfo(name=name, protocol=self.protocol, address=str(self.path).encode(), state="ok")
        return await self.call("MapperRegister", pb.MapperRegisterRequest(withData=with_data, mapper=info))

    async def report(self, device: str = "d", namespace: str = "default", **values: str) -> None:
        request = pb.ReportDeviceStatusRequest(deviceName=device, deviceNamespace=namespace)
        for name, value in values.items():
            request.reportedDevice.twins.add(propertyName=name, reported=pb.TwinProperty(value=value))
        await self.call("ReportDeviceStatus", request)

    async def call(self, name: str, request: Any) -> Any:
        return await self._edge.call(MANAGER[name].path, request, MANAGER[name].answer, 10)

    async def hears(self, count: int, seconds: float = 30) -> list[tuple[str, Any]]:
        """Wait until this many calls have come; gives their short forms."""
        async with asyncio.timeout(seconds):
            while len(self.heard) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.short()

    def short(self) -> list[tuple[str, str]]:
        return [(name, about(request)) for name, request in self.heard]


def about(request: Any) -> str:
    """Which object a call is about."""
    for field in ("device", "model", "deviceName", "modelName"):
        if field in request.DESCRIPTOR.fields_by_name:
            found = getattr(request, field)
            return str(found if isinstance(found, str) else found.name)
    return ""
