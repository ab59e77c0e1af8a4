"""The read-only HTTP port: /healthz, /healthz/syncloop and /pods (kubelet `pkg/kubelet/server`).

HTTP/1.1 by h11 on asyncio streams. Loopback by default; it changes nothing and shows no secrets.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Callable
from typing import Any, NoReturn

import h11
import msgspec

from edgelab.daemon.errors import Fatal

Obj = dict[str, Any]
REASONS = {200: b"OK", 404: b"Not Found", 405: b"Method Not Allowed", 500: b"Internal Server Error"}
IDLE = 30.0
"""Seconds after which a silent client is sent away."""


class ReadOnlyServer:
    """Serves what `pods()` and `health()` give; `health()` is an empty text when all is well."""

    def __init__(
        self, address: str, port: int, pods: Callable[[], list[Obj]], health: Callable[[], str]
    ) -> None:
        self._address, self._port = address, port
        self._pods = pods
        self._health = health
        self.bound_port = 0
        self.listening = asyncio.Event()

    async def run(self) -> NoReturn:
        """Serve for ever. Raises Fatal when the port is taken."""
        try:
            server = await asyncio.start_server(self._client, self._address, self._port)
        except OSError as error:
            where = f"{self._address}:{self._port}"
            if error.errno == errno.EADDRINUSE:
                raise Fatal(
                    f"edged cannot listen on {where}: the port is taken "
                    "(is another edgecore or a kubelet running? "
                    f"`ss -ltnp 'sport = :{self._port}'` names it)"
                ) from None
            raise Fatal(f"edged cannot listen on {where}: {error.strerror or error}") from None
        self.bound_port = server.sockets[0].getsockname()[1]
        self.listening.set()
        async with server:
            await server.serve_forever()
        raise RuntimeError("the server ended")

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        with contextlib.suppress(OSError, h11.ProtocolError, TimeoutError):
            async with asyncio.timeout(IDLE):
                while (request := await _request(connection, reader)) is not None:
                    self._reply(connection, writer, request)
                    await writer.drain()
                    if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                        break
                    connection.start_next_cycle()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    def _reply(self, connection: h11.Connection, writer: asyncio.StreamWriter, request: h11.Request) -> None:
        status, kind, body = self._answer(request.method, request.target.split(b"?")[0])
        headers = [("content-type", kind), ("content-length", str(len(body)))]
        writer.write(
            connection.send(h11.Response(status_code=status, headers=headers, reason=REASONS[status])) or b""
        )
        if request.method != b"HEAD":
            writer.write(connection.send(h11.Data(data=body)) or b"")
        writer.write(connection.send(h11.EndOfMessage()) or b"")

    def _answer(self, method: bytes, path: bytes) -> tuple[int, str, bytes]:
        text = "text/plain; charset=utf-8"
        if method not in (b"GET", b"HEAD"):
            return 405, text, b"method not allowed\n"
        match path.rstrip(b"/"):
            case b"/healthz" | b"/healthz/ping" | b"/healthz/log":
                return 200, text, b"ok"
            case b"/healthz/syncloop":
                problem = self._health()
                return (500, text, f"{problem}\n".encode()) if problem else (200, text, b"ok")
            case b"/pods":
                pods = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": self._pods()}
                return 200, "application/json", msgspec.json.encode(pods)
        return 404, text, b"404 page not found\n"


async def _request(connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
    """The next request, its body thrown away; None when the client is done."""
    request: h11.Request | None = None
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(16384))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.EndOfMessage):
            return request
        elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
            return None
