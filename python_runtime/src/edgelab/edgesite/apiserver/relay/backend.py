"""The other server's side of a relayed request: HTTP/1.1 on one connection, which may be taken over.

What it sends is read no faster than it is asked for, and at most `HIGH` bytes of it wait here.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import cast

import h11

from edgelab.edgesite.apiserver.relay import gowords
from edgelab.edgesite.apiserver.relay.dialing import Trust, Unreached, dial
from edgelab.edgesite.apiserver.relay.places import Place

HIGH, LOW = 64 << 10, 16 << 10
LARGEST_HEAD = 1 << 20
Headers = list[tuple[str, str]]
SWITCHED = 101


class Cut(Exception):
    """The connection ended, or what came was no HTTP; the text is Go's."""


class Backend(asyncio.Protocol):
    """One request and its answer. The owner closes it, or has `release` give the connection away."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_HEAD)
        self._transport: asyncio.Transport | None = None
        self._head: asyncio.Future[h11.Response | h11.InformationalResponse] = (
            asyncio.get_running_loop().create_future()
        )
        self._chunks: deque[bytes] = deque()
        self._waiting = 0
        self._ended = False
        self._failure: Exception | None = None
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    @classmethod
    async def ask(
        cls, place: Place, trust: Trust, method: str, headers: Headers, *, has_body: bool = False
    ) -> Backend:
        """Connect and send a request's head. Raises Unreached."""
        backend = await dial(place, trust, cls)
        try:
            await backend._send(h11.Request(method=method, target=place.target, headers=headers))
            if not has_body:
                await backend._send(h11.EndOfMessage())
        except (Cut, h11.LocalProtocolError) as error:
            backend.close()
            raise Unreached(str(error)) from error
        except BaseException:
            backend.close()
            raise
        return backend

    async def send(self, data: bytes) -> None:
        """Some of the request's body. Raises Cut."""
        await self._send(h11.Data(data=data))

    async def finish(self) -> None:
        """The end of the request. Raises Cut."""
        await self._send(h11.EndOfMessage())

    async def head(self) -> h11.Response | h11.InformationalResponse:
        """The answer's head; an informational one says that the protocol is switched. Raises Cut."""
        return await asyncio.shield(self._head)

    async def body(self) -> AsyncIterator[bytes]:
        """The answer's body. Raises Cut when it ends too early."""
        while True:
            while self._chunks:
                chunk = self._chunks.popleft()
                self._waiting -= len(chunk)
                if self._waiting <= LOW and self._transport is not None:
                    self._transport.resume_reading()
                yield chunk
            if self._ended:
                return
            if self._failure is not None:
                raise self._failure
            self._news.clear()
            await self._news.wait()

    def release(self) -> tuple[asyncio.Transport, bytes]:
        """The connection behind a switch of protocols, paused, and what came after the head."""
        transport, self._transport = self._transport, None
        if transport is None or transport.is_closing():
            raise Cut("EOF")
        return transport, bytes(self._http.trailing_data[0])

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.abort()

    async def _send(self, event: h11.Event) -> None:
        if self._failure is not None:
            raise self._failure
        data = self._http.send(event)
        if data and self._transport is not None:
            self._transport.write(data)
            await self._writable.wait()

    # what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bounded from the beginning."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclasses
        self._transport.set_write_buffer_limits(high=HIGH)

    def pause_writing(self) -> None:
        """The other server reads slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Some of the answer."""
        self._parse(data)

    def eof_received(self) -> None:
        """The end of an answer without a length, or too early an end."""
        self._parse(b"")

    def connection_lost(self, error: Exception | None) -> None:
        """Whoever waits for the answer is told."""
        self._transport = None
        self._writable.set()
        if not self._ended:
            self._fail(Cut(_ending(error)))

    def _parse(self, data: bytes) -> None:
        if self._ended or self._failure is not None:
            return
        try:
            self._http.receive_data(data)
            while self._take(self._http.next_event()):
                pass
        except h11.RemoteProtocolError as error:
            early = not data
            text = "unexpected EOF" if early and self._http.their_state is h11.SEND_BODY else "EOF"
            self._fail(Cut(text if early else f"malformed HTTP response: {error}"))

    def _take(self, event: object) -> bool:
        """Whether there may be more of them."""
        if isinstance(event, h11.InformationalResponse):
            if event.status_code != SWITCHED:
                return True
            if self._transport is not None:
                self._transport.pause_reading()
            self._headed(event)
            return False
        if isinstance(event, h11.Response):
            self._headed(event)
        elif isinstance(event, h11.Data):
            self._chunks.append(bytes(event.data))
            self._waiting += len(event.data)
            if self._waiting > HIGH and self._transport is not None:
                self._transport.pause_reading()
        elif isinstance(event, h11.EndOfMessage):
            self._ended = True
        elif event in (h11.NEED_DATA, h11.PAUSED):
            self._news.set()
            return False
        elif isinstance(event, h11.ConnectionClosed):
            self._fail(Cut("EOF"))
            return False
        self._news.set()
        return not self._ended

    def _headed(self, event: h11.Response | h11.InformationalResponse) -> None:
        if not self._head.done():
            self._head.set_result(event)

    def _fail(self, failure: Cut) -> None:
        self._failure = failure
        if not self._head.done():
            self._head.set_exception(failure)
            self._head.exception()  # nobody may have waited for it
        self._news.set()


def _ending(error: Exception | None) -> str:
    if isinstance(error, ssl.SSLError):
        return gowords.not_secured("", error)
    return "read: connection reset by peer" if isinstance(error, ConnectionResetError) else "EOF"


def decoded(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Headers of an answer as text."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]


def why(error: Exception, place: Place) -> str:
    """A failure that is none of these, in words."""
    if isinstance(error, Cut | Unreached):
        return str(error)
    return gowords.not_connected(place.host, place.port, error) if isinstance(error, OSError) else str(error)
