"""A small HTTP/1.1 server for GET requests, by h11 on asyncio streams."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import http
from collections.abc import Awaitable, Callable
from typing import NamedTuple, NoReturn
from urllib.parse import unquote

import h11

from edgelab.daemon.errors import Fatal
from edgelab.daemon.tasks import Supervisor

IDLE = 60.0
"""Seconds after which a connection without a request is closed."""
CONNECTIONS = 64


class Request(NamedTuple):
    """One request; `path` is split and decoded segment by segment."""

    path: tuple[str, ...]
    headers: dict[str, str]


class Response(NamedTuple):
    """One answer."""

    status: int
    body: bytes
    content_type: str = "application/json"


Handler = Callable[[Request], Awaitable[Response]]


class HttpServer:
    """Serves `handler` on one address; `correlate` is a header that goes back as it came."""

    def __init__(self, address: str, port: int, handler: Handler, *, correlate: str) -> None:
        self.address, self.port = address, port
        self._handler = handler
        self._correlate = correlate
        self._clients = Supervisor("mapper/rest")
        self._count = 0
        self.listening = asyncio.Event()

    async def run(self) -> NoReturn:
        """Serve for ever. Raises Fatal when the address cannot be had."""
        try:
            server = await asyncio.start_server(self._client, self.address, self.port)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            cause = (
                "the port is taken (0 does without the REST API)" if taken else error.strerror or str(error)
            )
            raise Fatal(f"common.http_port: {self.address}:{self.port}: {cause}") from None
        self.port = server.sockets[0].getsockname()[1]
        self.listening.set()
        try:
            async with server:
                await asyncio.Event().wait()
        finally:
            await self._clients.close()
        raise AssertionError

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._count >= CONNECTIONS:
            writer.close()
            return
        self._count += 1
        self._clients.spawn(self._converse(reader, writer), "client")

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        try:
            with contextlib.suppress(OSError, h11.ProtocolError):
                while await self._one(connection, reader, writer):
                    connection.start_next_cycle()
        finally:
            self._count -= 1
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _one(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """One request and its answer; False when the connection ends with it."""
        async with asyncio.timeout(IDLE):
            head = await _head(connection, reader)
        if head is None:
            return False
        headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
        if head.method == b"GET":
            path = head.target.decode("ascii").partition("?")[0].strip("/")
            response = await self._handler(Request(tuple(map(unquote, path.split("/"))), headers))
        else:
            response = Response(405, b"only GET is served\n", "text/plain; charset=utf-8")
        back = [("content-type", response.content_type), ("content-length", str(len(response.body)))]
        if self._correlate.lower() in headers:
            back.append((self._correlate, headers[self._correlate.lower()]))
        reason = http.HTTPStatus(response.status).phrase.encode()
        start = h11.Response(status_code=response.status, headers=back, reason=reason)
        for event in (start, h11.Data(data=response.body), h11.EndOfMessage()):
            writer.write(connection.send(event) or b"")
        await writer.drain()
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE


async def _head(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    """The next request, its body thrown away; None when the client is done."""
    head: h11.Request | None = None
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(16384))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.EndOfMessage):
            return head
        elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
            return None
