"""HTTP for load at the router: a sink that answers everything, and a client of one kept connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LIMIT = 64 << 20


class Sink(asyncio.Protocol):
    """Answers each request with `answer`; `look` gets its body."""

    def __init__(self, look: Callable[[bytes], None], answer: bytes) -> None:
        self._look = look
        self._answer = answer
        self._data = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take whole requests."""
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._data[:end]).lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            if len(self._data) < end + 4 + length:
                return
            self._look(bytes(self._data[end + 4 : end + 4 + length]))
            del self._data[: end + 4 + length]
            self._transport.write(self._answer)


@asynccontextmanager
async def sink(look: Callable[[bytes], None], answer: bytes = ANSWER) -> AsyncIterator[int]:
    """A sink on a free port of loopback."""
    server = await asyncio.get_running_loop().create_server(lambda: Sink(look, answer), "127.0.0.1", 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


class Poster:
    """One connection to the router; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Poster:
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=LIMIT))

    async def post(self, path: str, body: bytes) -> bytes:
        """The body of the answer. Raises RuntimeError for another status than 200."""
        head = f"POST {path} HTTP/1.1\r\nHost: cloud\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        answer = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = answer.partition(b"content-length:")[2].partition(b"\r\n")[0]
        text = await self._reader.readexactly(int(length or 0))
        if not answer.startswith(b"http/1.1 200 "):
            raise RuntimeError(f"{path}: {answer[:20]!r} {text[:200]!r}")
        return text

    def close(self) -> None:
        self._writer.close()
