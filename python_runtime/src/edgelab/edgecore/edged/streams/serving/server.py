"""The door: which protocol a client speaks, and a task for what it asked.

Receives: requests of EdgeStream. Sends: calls to the runtime. Stores: nothing. When the client goes, its
session is cancelled, and with it what it ran.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from edgelab.cri.joining import Joining, Wanted
from edgelab.daemon.tasks import Supervisor
from edgelab.edgecore.edged.streams.serving import commands, forwarding, spdylink, websocketlink
from edgelab.edgecore.kubelet import Pipe, Refused, Request
from edgelab.protocol import spdy

LIMIT = 64 << 10
LINGER_SECONDS = 60.0
SPDY, WEBSOCKET = "spdy/3.1", "websocket"
COMMANDS = ("v4.channel.k8s.io",)
PORTS = ("portforward.k8s.io",)


class Server:
    """Serves by `joining`; `tasks` owns the sessions."""

    def __init__(self, joining: Joining, tasks: Supervisor) -> None:
        self._joining = joining
        self._tasks = tasks

    async def exec(self, request: Request, container: str, command: Sequence[str], wanted: Wanted) -> Pipe:
        """Run a command. Raises Refused."""
        return await self._command(
            request, lambda: self._joining.exec(container, command, wanted), wanted, f"exec/{container[:12]}"
        )

    async def attach(self, request: Request, container: str, wanted: Wanted) -> Pipe:
        """Join what runs. Raises Refused."""
        return await self._command(
            request, lambda: self._joining.attach(container, wanted), wanted, f"attach/{container[:12]}"
        )

    async def ports(self, request: Request, sandbox: str, ports: Sequence[int]) -> Pipe:
        """Reach ports of the pod; by SPDY the client names them with its streams. Raises Refused."""

        name = f"ports/{sandbox[:12]}"

        async def dial(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
            return await self._joining.dial(sandbox, port)

        if _upgrade(request) == WEBSOCKET:
            if not ports:
                raise Refused(400, 'query parameter "port" is required')
            protocol = websocketlink.chosen(request, websocketlink.PORTS)
            answer = websocketlink.handshake(request, protocol)

            async def numbered(pipe: Pipe) -> None:
                await forwarding.numbered(websocketlink.WebSocketLink(pipe, protocol), ports, dial)

            return await self._serve(answer, numbered, name)

        async def paired(pipe: Pipe) -> None:
            await forwarding.Paired(spdylink.SpdyLink(pipe), dial).run()

        return await self._serve(spdylink.handshake(request, PORTS), paired, name)

    async def _command(self, request: Request, start: commands.Start, wanted: Wanted, name: str) -> Pipe:
        if _upgrade(request) == WEBSOCKET:
            protocol = websocketlink.chosen(request, websocketlink.COMMANDS)
            answer = websocketlink.handshake(request, protocol)

            async def by_websocket(pipe: Pipe) -> None:
                link = websocketlink.WebSocketLink(pipe, protocol)
                await commands.run(websocketlink.Channels(link, wanted), start)

            return await self._serve(answer, by_websocket, name)

        async def by_spdy(pipe: Pipe) -> None:
            await commands.run(await spdylink.Channels.opened(spdylink.SpdyLink(pipe), wanted), start)

        return await self._serve(spdylink.handshake(request, COMMANDS), by_spdy, name)

    async def _serve(
        self, answer: bytes, work: Callable[[Pipe], Coroutine[Any, Any, None]], name: str
    ) -> Pipe:
        gone = _Gone()
        ours, theirs = await _connected(gone)
        ours.writer.write(answer)
        gone.session = self._tasks.spawn(_session(ours, work), f"streams/{name}")
        return theirs


async def _session(ours: Pipe, work: Callable[[Pipe], Coroutine[Any, Any, None]]) -> None:
    """Work until it is done, or cancelled as the client has gone."""
    try:
        try:
            await work(ours)
        except Exception as error:
            if not _is_clients(error):
                raise
        await _over(ours)
    except BaseException:
        ours.writer.transport.abort()
        raise
    finally:
        ours.writer.close()


async def _over(ours: Pipe) -> None:
    """Say that this is all, and take no notice of what comes yet: closed at once, it would take away from a
    client that is still writing what it has not read."""
    with suppress(OSError, TimeoutError):
        ours.writer.write_eof()
        async with asyncio.timeout(LINGER_SECONDS):
            while await ours.reader.read(LIMIT):
                pass


def _is_clients(error: Exception) -> bool:
    """Whether it says no more than that the client has gone, or does not speak the protocol."""
    if isinstance(error, ExceptionGroup):
        return all(map(_is_clients, error.exceptions))
    return isinstance(error, (OSError, spdy.ProtocolError))


class _Gone:
    """EdgeStream has dropped its end: whatever waits still in between, the session is over."""

    session: asyncio.Task[None] | None = None

    def __call__(self) -> None:
        if self.session is not None:
            self.session.cancel()


async def _connected(gone: Callable[[], None]) -> tuple[Pipe, Pipe]:
    """Our end and theirs."""
    ours, theirs = socket.socketpair()
    return await _streams(ours, lambda: None), await _streams(theirs, gone)


async def _streams(end: socket.socket, lost: Callable[[], None]) -> Pipe:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=LIMIT, loop=loop)
    end.setblocking(False)
    transport, protocol = await loop.create_unix_connection(lambda: _Told(reader, lost), sock=end)
    return Pipe(reader, asyncio.StreamWriter(transport, protocol, reader, loop))


class _Told(asyncio.StreamReaderProtocol):
    """Tells when its end was dropped."""

    def __init__(self, reader: asyncio.StreamReader, lost: Callable[[], None]) -> None:
        super().__init__(reader)
        self._lost = lost

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell."""
        super().connection_lost(exc)
        self._lost()


def _upgrade(request: Request) -> str:
    """What the client wants to speak. Raises Refused."""
    found = {name.lower(): ", ".join(values).lower() for name, values in request.headers.items()}
    wanted = found.get("upgrade", "")
    if "upgrade" not in found.get("connection", "") or wanted not in (SPDY, WEBSOCKET):
        raise Refused(400, "unable to upgrade: this is neither a WebSocket nor SPDY/3.1")
    return wanted
