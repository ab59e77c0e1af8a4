"""One HTTP/1.1 request on a connection of its own: read by h11, answered, or taken over as raw bytes."""

from __future__ import annotations

import asyncio
import http
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import unquote

import h11

from edgelab.protocol.tunnel import canonical

HEAD_LIMIT = 64 << 10
READ = 64 << 10


class Left(Exception):
    """The client is gone."""


class Exchange:
    """`read` first, then either `refuse`, `begin` with `write` and `finish`, or `raw`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._connection = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_LIMIT)
        self.method = self.path = self.query = ""
        self.headers: dict[str, list[str]] = {}

    @property
    def certificate(self) -> Mapping[str, Any] | None:
        """The client's, verified; None when it has shown none."""
        return self._writer.get_extra_info("peercert") or None

    def header(self, name: str) -> str:
        """The first value of a header; empty when it is not there."""
        return next(iter(self.headers.get(name, ())), "")

    async def read(self) -> None:
        """Take the request. Raises Left, and RemoteProtocolError for what is none."""
        while True:
            event = self._connection.next_event()
            if event is h11.NEED_DATA:
                try:
                    self._connection.receive_data(await self._reader.read(READ))
                except OSError:
                    raise Left from None
            elif isinstance(event, h11.Request):
                self._take(event)
            elif isinstance(event, h11.EndOfMessage):
                return
            elif not isinstance(event, h11.Data):
                raise Left

    def _take(self, request: h11.Request) -> None:
        self.method = request.method.decode("ascii")
        path, _, self.query = request.target.decode("ascii").partition("?")
        self.path = unquote(path)
        for name, value in request.headers:
            self.headers.setdefault(canonical(name.decode("ascii")), []).append(value.decode("latin-1"))

    async def refuse(self, status: int, text: str) -> None:
        """A whole answer. Raises Left."""
        body = text.encode() + b"\n"
        await self.begin(status, "text/plain; charset=utf-8", length=len(body))
        await self.write(body)
        await self.finish()

    async def begin(self, status: int, content_type: str, *, length: int | None = None) -> None:
        """The head of an answer, whose body comes in chunks when its length is not known. Raises Left."""
        headers = [("content-type", content_type), ("connection", "close")]
        headers.append(
            ("transfer-encoding", "chunked") if length is None else ("content-length", str(length))
        )
        reason = http.HTTPStatus(status).phrase.encode() if status in set(http.HTTPStatus) else b""
        await self._send(h11.Response(status_code=status, headers=headers, reason=reason))

    async def write(self, data: bytes) -> None:
        """A piece of the body, waiting for the client. Raises Left."""
        await self._send(h11.Data(data=data))

    async def finish(self) -> None:
        """The end of the body. Raises Left."""
        await self._send(h11.EndOfMessage())

    async def _send(self, event: h11.Event) -> None:
        await self.write_raw(self._connection.send(event) or b"")

    async def write_raw(self, data: bytes) -> None:
        """Bytes as they are, waiting for the client. Raises Left."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError:
            raise Left from None

    async def raw(self) -> AsyncIterator[bytes]:
        """What the client sends after its request, to its end."""
        early = self._connection.trailing_data[0]
        if early:
            yield early
        with suppress(OSError):
            while data := await self._reader.read(READ):
                yield data

    def abort(self) -> None:
        """Hang up without a good end: what was sent is not all."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Hang up when what was written has gone."""
        self._writer.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(2.0):
                await self._writer.wait_closed()
        self._writer.transport.abort()


@asynccontextmanager
async def while_there(exchange: Exchange) -> AsyncIterator[None]:
    """Cancel what is inside when the client hangs up, and raise Left."""
    task = asyncio.current_task()
    assert task is not None
    gone = False

    async def listen() -> None:
        nonlocal gone
        async for _ in exchange.raw():
            pass
        gone = True
        task.cancel()

    listener = asyncio.create_task(listen(), name="cloudstream/client")
    try:
        yield
    except asyncio.CancelledError:
        if gone and task.uncancel() == 0:
            raise Left from None
        raise
    finally:
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
