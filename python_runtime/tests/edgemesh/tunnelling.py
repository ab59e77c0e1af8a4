"""A CloudCore that is only the mesh's relay, and nodes with a tunnel to it; over TLS with certificates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from tests.edgecore.cloud_peer import Pki
from tests.edgemesh.objects import Obj, table_of
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from edgelab.cloudcore.cloudhub.peer import peer_of
from edgelab.cloudcore.meshrelay.relay import MeshRelay
from edgelab.edgemesh.proxy.dial import Direct
from edgelab.edgemesh.settings import TunnelFiles
from edgelab.edgemesh.tunnel.agent import Tunnel
from edgelab.protocol.mesh import PATH


class Connection:
    """A `MeshConnection` on the library's server."""

    def __init__(self, websocket: ServerConnection) -> None:
        self.websocket = websocket
        certificate = websocket.transport.get_extra_info("ssl_object").getpeercert()
        self.node = peer_of(certificate).node

    async def receive(self) -> bytes | str:
        try:
            return cast("bytes | str", await self.websocket.recv())
        except ConnectionClosed as error:
            raise ConnectionResetError(str(error)) from error

    async def send(self, data: bytes | str) -> None:
        try:
            await self.websocket.send(data)
        except ConnectionClosed as error:
            raise ConnectionResetError(str(error)) from error

    async def close(self) -> None:
        await self.websocket.close()


class CloudSide:
    """`relay` behind a listener that can be ended and begun again."""

    def __init__(self, directory: Path, may_dial: Callable[[str, str, int, str], bool]) -> None:
        self.pki = Pki.create(directory / "pki", "unused")
        self.relay = MeshRelay(may_dial)
        self.port = 0
        self.connections: list[Connection] = []
        self._server: Server | None = None

    async def start(self) -> None:
        self._server = await serve(
            self._serve, "127.0.0.1", self.port, ssl=self.pki.context(), ping_interval=None
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            for connection in self.connections:
                connection.websocket.transport.abort()
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, websocket: ServerConnection) -> None:
        assert websocket.request is not None
        assert websocket.request.path == PATH
        connection = Connection(websocket)
        self.connections.append(connection)
        await self.relay.serve(connection)

    def files(self, node: str) -> TunnelFiles:
        self.pki.issue_node(node)
        own = self.pki.directory / node
        own.mkdir()
        for name in ("server.crt", "server.key"):
            (self.pki.directory / name).rename(own / name)
        return TunnelFiles(
            f"127.0.0.1:{self.port}",
            str(self.pki.directory / "rootCA.crt"),
            str(own / "server.crt"),
            str(own / "server.key"),
        )

    @asynccontextmanager
    async def agent(self, node: str, *objects: Obj) -> AsyncIterator[Tunnel]:
        """A node's tunnel, connected; `objects` are what its table knows."""
        tunnel = Tunnel(self.files(node), node, table_of(*objects, node=node), Direct())
        task = asyncio.create_task(tunnel.run())
        try:
            async with asyncio.timeout(20):
                while node not in self.relay.agents or not tunnel.is_up:
                    await asyncio.sleep(0.01)
            yield tunnel
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
