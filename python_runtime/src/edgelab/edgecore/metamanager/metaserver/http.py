"""HTTP/1.1 by h11 on asyncio streams, as much of it as clients of the Kubernetes API use.

Bodies are read whole, 3 MiB at most unless the server says otherwise. Answers are whole or a stream in chunks
that lasts until its source ends or the client goes. Connections are kept; a silent one is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import http
import logging
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import parse_qsl, unquote

import h11

from edgelab.daemon.errors import Fatal
from edgelab.daemon.tasks import Supervisor

log = logging.getLogger(__name__)

BODY_LIMIT = 3 << 20
HEAD_LIMIT = 64 << 10
IDLE = 90.0
"""Seconds after which a connection without a request is closed."""
WRITE = 30.0
"""Seconds that a client may take to read what it asked for; then its connection is closed."""
CONNECTIONS = 256
"""Connections at a time; one more is closed at once."""


@dataclass(slots=True)
class Request:
    """One request. `query` has the last value of each name; `values` all of them."""

    method: str
    path: str
    query: dict[str, str]
    values: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        """Every value of a query parameter."""
        return [value for key, value in self.values if key == name]


@dataclass(slots=True)
class Response:
    """One answer: its body, or the stream that gives it. `closed` is called when the answer is over."""

    status: int
    body: bytes = b""
    content_type: str = "application/json"
    headers: list[tuple[str, str]] = field(default_factory=list)
    stream: AsyncGenerator[bytes, None] | None = None
    closed: Callable[[], None] = lambda: None


class TooLarge(Exception):
    """The body is longer than is accepted."""


Handler = Callable[[Request], Awaitable[Response]]
Refusal = Callable[[int, str], Response]


class HttpServer:
    """Serves `handler` on one address. `refuse(status, text)` makes the answer to what is no request."""

    def __init__(
        self,
        address: str,
        port: int,
        handler: Handler,
        refuse: Refusal,
        *,
        tls: ssl.SSLContext | None = None,
        owner: str = "MetaServer",
        limit: int = BODY_LIMIT,
    ) -> None:
        """`owner` is named in messages; `limit` is in bytes of a body."""
        self.address, self.port = address, port
        self._owner = owner
        self._limit = limit
        self._handler = handler
        self._refuse = refuse
        self._tls = tls
        self._clients = Supervisor(f"{owner.lower()}/clients")
        self._count = 0
        self.listening = asyncio.Event()

    async def run(self) -> NoReturn:
        """Serve for ever. Raises Fatal when the address cannot be had."""
        try:
            server = await asyncio.start_server(self._client, self.address, self.port, ssl=self._tls)
        except OSError as error:
            where = f"{self._owner} cannot listen on {self.address}:{self.port}"
            if error.errno == errno.EADDRINUSE:
                hint = f"`ss -ltnp 'sport = :{self.port}'` names who has it"
                raise Fatal(f"{where}: the port is taken; {hint}") from None
            raise Fatal(f"{where}: {error.strerror or error}") from None
        self.port = server.sockets[0].getsockname()[1]
        self.listening.set()
        try:
            async with server:
                await asyncio.Event().wait()
        finally:
            await self._clients.close()
        raise RuntimeError("the server ended")

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._count >= CONNECTIONS:
            writer.close()
            return
        self._count += 1
        task = self._clients.spawn(self._converse(reader, writer), "client")
        task.add_done_callback(lambda _: self._left(writer))  # also of one that was cancelled before it began

    def _left(self, writer: asyncio.StreamWriter) -> None:
        self._count -= 1
        writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
        try:
            with contextlib.suppress(OSError):
                while await self._one(connection, reader, writer):
                    connection.start_next_cycle()
        except TimeoutError:
            writer.transport.abort()  # what it has not read yet would keep the connection
        finally:
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _one(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """One request and its answer; False when the connection ends with it."""
        request: Request | None = None
        try:
            async with asyncio.timeout(IDLE):
                request = await read_request(connection, reader, writer, self._limit)
            if request is None:
                return False
            response = await self._handler(request)
        except TooLarge:
            response = self._refuse(413, f"the body is longer than {self._limit >> 20} MiB")
            response.headers.append(("connection", "close"))
        except h11.RemoteProtocolError as error:
            response = self._refuse(error.error_status_hint, f"this is no HTTP request: {error}")
        try:
            headless = request is not None and request.method == "HEAD"
            await _respond(connection, reader, writer, response, headless=headless)
        except h11.LocalProtocolError:
            return False
        finally:
            if response.stream is not None:
                await response.stream.aclose()
            response.closed()
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE


async def read_request(
    connection: h11.Connection,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    limit: int = BODY_LIMIT,
) -> Request | None:
    """The next request; None when the client is done. Raises TooLarge and RemoteProtocolError."""
    head: h11.Request | None = None
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
                writer.write(connection.send(go_on) or b"")
            connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Request):
            head = event
            if int(dict(event.headers).get(b"content-length", b"0")) > limit:
                raise TooLarge
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > limit:
                raise TooLarge
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            return _request(head, bytes(body))
        else:
            return None


def _request(head: h11.Request, body: bytes) -> Request:
    path, _, query = head.target.decode("ascii").partition("?")
    values = parse_qsl(query, keep_blank_values=True)
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
    return Request(head.method.decode("ascii"), unquote(path), dict(values), values, headers, body)


async def _respond(
    connection: h11.Connection,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    response: Response,
    *,
    headless: bool,
) -> None:
    headers = [("content-type", response.content_type), *response.headers]
    if response.stream is None:
        headers.append(("content-length", str(len(response.body))))
    else:
        headers.append(("transfer-encoding", "chunked"))
    reason = http.HTTPStatus(response.status).phrase.encode()
    start = h11.Response(status_code=response.status, headers=headers, reason=reason)
    writer.write(connection.send(start) or b"")
    if headless:
        log.debug("only the head of %d bytes was asked for", len(response.body))
    elif response.stream is None:
        writer.write(connection.send(h11.Data(data=response.body)) or b"")
    else:
        await _pour(connection, reader, writer, response.stream)
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    await _drain(writer)


async def _drain(writer: asyncio.StreamWriter) -> None:
    async with asyncio.timeout(WRITE):
        await writer.drain()


async def _pour(
    connection: h11.Connection,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    stream: AsyncGenerator[bytes, None],
) -> None:
    """Send what the stream gives until it ends or the client is gone. Raises ConnectionError then."""
    left = asyncio.create_task(reader.read(1), name="metaserver/left")
    more = asyncio.ensure_future(anext(stream, b""))
    try:
        while True:
            await asyncio.wait({left, more}, return_when=asyncio.FIRST_COMPLETED)
            if left.done():
                raise ConnectionResetError("the client is gone")
            chunk = more.result()
            if not chunk:
                return
            writer.write(connection.send(h11.Data(data=chunk)) or b"")
            await _drain(writer)
            more = asyncio.ensure_future(anext(stream, b""))
    finally:
        left.cancel()
        more.cancel()
        await asyncio.wait({left, more})
