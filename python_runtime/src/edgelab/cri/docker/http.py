"""HTTP/1.1 over Docker's unix socket: one connection a request, so that nothing is shared or kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import h11
import msgspec

from edgelab.cri.client import socket_path
from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.daemon.halves import Outgoing

VERSION = "v1.40"
"""The Engine API asked for: Docker 19.03 and later serve it."""
READ = 65536
CODES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
CODES |= {409: "FAILED_PRECONDITION", 501: "UNIMPLEMENTED"}
"""gRPC's names for what a CRI runtime would say; everything else is UNKNOWN."""


@dataclass(slots=True)
class Answer:
    """The head of an answer; the body is read from `body`."""

    status: int
    body: AsyncIterator[bytes]

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([part async for part in self.body])


class Engine:
    """Docker behind a unix socket. Raises RuntimeUnreachable when nobody answers, CriError for errors."""

    def __init__(self, endpoint: str) -> None:
        self.path = socket_path(endpoint)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        deadline: float,
        query: Mapping[str, str] | None = None,
    ) -> Any:
        """A request with a JSON answer, or none."""
        try:
            async with asyncio.timeout(deadline), self.stream(method, path, body, query=query) as answer:
                data = await answer.read()
        except TimeoutError:
            text = f"{method} {path} took longer than {deadline:.0f} s"
            raise CriError("DEADLINE_EXCEEDED", text) from None
        return msgspec.json.decode(data) if data.strip() else None

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Answer]:
        """A request whose body arrives bit by bit. No deadline of its own."""
        async with self._connected() as (reader, writer):
            answer = await self._ask(reader, writer, _request(method, path, query or {}), body, headers or {})
            if answer.status >= 400:
                raise _refusal(answer.status, await answer.read())
            yield answer

    @asynccontextmanager
    async def hijack(
        self, path: str, body: Any = None, *, query: Mapping[str, str] | None = None
    ) -> AsyncIterator[tuple[asyncio.StreamReader, Outgoing]]:
        """A POST after which the connection belongs to a process: its output comes, its input goes there.

        No deadline of its own.
        """
        async with self._connected() as (reader, writer):
            connection = await self._send(
                writer, _request("POST", path, query or {}), body, {"Connection": "Upgrade", "Upgrade": "tcp"}
            )
            try:
                connection.receive_data(await reader.readuntil(b"\r\n\r\n"))
            except (asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                raise ConnectionResetError("it was closed before the answer") from None
            event: Any = connection.next_event()
            if not isinstance(event, h11.InformationalResponse):
                answer = Answer(event.status_code, _body(connection, reader))
                raise _refusal(answer.status, await answer.read())
            with Outgoing(writer) as out:
                yield reader, out

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        try:
            reader, writer = await asyncio.open_unix_connection(self.path)
        except OSError as error:
            raise RuntimeUnreachable(self._explain(error)) from None
        try:
            yield reader, writer
        except (OSError, h11.RemoteProtocolError) as error:
            cause = str(error) or type(error).__name__
            raise RuntimeUnreachable(f"the connection to Docker on {self.path} was lost: {cause}") from None
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _ask(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        target: tuple[str, str],
        body: Any,
        headers: Mapping[str, str],
    ) -> Answer:
        connection = await self._send(writer, target, body, headers)
        while not isinstance(event := await _next(connection, reader), h11.Response):
            if isinstance(event, h11.ConnectionClosed):
                raise ConnectionResetError("it was closed before the answer")
        return Answer(event.status_code, _body(connection, reader))

    @staticmethod
    async def _send(
        writer: asyncio.StreamWriter, target: tuple[str, str], body: Any, headers: Mapping[str, str]
    ) -> h11.Connection:
        connection = h11.Connection(h11.CLIENT)
        data = b"" if body is None else msgspec.json.encode(body)
        fields = {"Host": "docker", "Connection": "close", "Content-Length": str(len(data)), **headers}
        if body is not None:
            fields["Content-Type"] = "application/json"
        method, path = target
        request = h11.Request(method=method, target=path, headers=list(fields.items()))
        for event in (request, h11.Data(data), h11.EndOfMessage()):
            writer.write(connection.send(event) or b"")
        await writer.drain()
        return connection

    def _explain(self, error: OSError) -> str:
        if isinstance(error, FileNotFoundError):
            return f"no container runtime: Docker's socket {self.path} does not exist (is dockerd running?)"
        if isinstance(error, ConnectionRefusedError):
            return f"no container runtime: nobody listens on {self.path} (is dockerd running?)"
        if isinstance(error, PermissionError):
            return f"no container runtime: {self.path} may not be opened by this user"
        return f"no container runtime on {self.path}: {error}"


def _request(method: str, path: str, query: Mapping[str, str]) -> tuple[str, str]:
    chosen = urlencode({key: value for key, value in query.items() if value})
    return method, f"/{VERSION}{path}" + (f"?{chosen}" if chosen else "")


async def _next(connection: h11.Connection, reader: asyncio.StreamReader) -> Any:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await reader.read(READ))
    return event


async def _body(connection: h11.Connection, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while not isinstance(event := await _next(connection, reader), h11.EndOfMessage):
        if isinstance(event, h11.ConnectionClosed):
            return
        yield bytes(event.data)


def _refusal(status: int, data: bytes) -> CriError:
    try:
        text = str(msgspec.json.decode(data)["message"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        text = data.decode(errors="replace").strip() or f"HTTP {status}"
    return CriError(CODES.get(status, "UNKNOWN"), text)
