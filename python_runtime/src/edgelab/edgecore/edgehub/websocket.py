"""A WebSocket on a transport of asyncio, by the protocol without I/O of the `websockets` library.

The library's own client for asyncio reads proxies from the environment, and for that loads an HTTP client and
what e-mail needs: with its tasks and locks 1 MiB more.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Mapping
from typing import cast

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

CLOSE_TIMEOUT = 1.0
"""Seconds that the other side has to close the connection once one of us has said so."""

MOST_HELD, LEAST_HELD = 16, 4
"""Messages that wait to be taken: with the first reading stops, with the second it goes on."""


class WebSocket(asyncio.Protocol):
    """The protocol of the transport. `alert`: the TLS alert with which the server turned us away."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self._protocol = ClientProtocol(parse_uri(url), max_size=None)
        self._headers = headers
        self._messages: deque[bytes] = deque()
        self._parts: list[bytes] = []
        self._news = asyncio.Event()
        self._writable = asyncio.Event()
        self._ended = asyncio.Event()
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._cause: Exception | None = None
        self._is_paused = False
        self._wire: asyncio.Transport | None = None
        self._last_call: asyncio.TimerHandle | None = None
        self.alert: ssl.SSLError | None = None
        self.answer: Headers = Headers()
        """Those of the server's answer to the upgrade."""

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._wire = cast(asyncio.Transport, transport)  # uvloop's are none by their class
        self._writable.set()
        request = self._protocol.connect()
        request.headers.update(self._headers)
        self._protocol.send_request(request)
        self._step()

    def data_received(self, data: bytes) -> None:
        """Take the frames that are whole by now."""
        self._protocol.receive_data(data)
        self._step()

    def eof_received(self) -> None:
        """The other side writes no more, so neither do we."""
        self._protocol.receive_eof()
        self._step()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end; `exc` is what the transport knows of its cause."""
        self._cause = exc
        if isinstance(exc, ssl.SSLError):
            self.alert = exc
        self._protocol.receive_eof()
        self._step()
        if self._last_call is not None:
            self._last_call.cancel()
        self._ended.set()
        self._news.set()
        self._writable.set()

    def pause_writing(self) -> None:
        """The transport holds enough."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It takes more again."""
        self._writable.set()

    # for its user

    async def opened(self) -> None:
        """Wait for the upgrade. Raises InvalidHandshake."""
        await self._opened

    async def send(self, text: bytes) -> None:
        """Send one text message, waiting while the transport holds too much. Raises ConnectionClosed."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_text(text)
            self._step()
            await self._writable.wait()
        else:
            await self._ended.wait()
        if self._ended.is_set():
            raise self._end()

    def ping(self, data: bytes) -> None:
        """Send a ping, unless the connection is at its end."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(data)
            self._step()

    async def receive(self) -> bytes:
        """The next message, its fragments joined. Raises ConnectionClosed."""
        while not self._messages:
            if self._ended.is_set():
                raise self._end()
            self._news.clear()
            await self._news.wait()
        message = self._messages.popleft()
        if self._is_paused and len(self._messages) <= LEAST_HELD:
            self._is_paused = False
            self._transport().resume_reading()
        return message

    def abort(self) -> None:
        """Drop the connection, if there is one."""
        # After its end there is none: dropping it then is an AttributeError in the TLS of Python 3.11.2.
        if self._wire is not None and not self._ended.is_set():
            self._wire.abort()

    async def close(self) -> None:
        """Say good-bye and wait a moment for the answer."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
            self._step()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._ended.wait()
        self.abort()

    # inside

    def _step(self) -> None:
        """Do what the protocol wants after each of its steps."""
        protocol = self._protocol
        for event in protocol.events_received():
            if isinstance(event, Frame):
                self._take(event)
            elif protocol.handshake_exc is None:
                self.answer = cast(Response, event).headers
                self._opened.set_result(None)
        if protocol.handshake_exc is not None and not self._opened.done():
            self._opened.set_exception(protocol.handshake_exc)
        for data in protocol.data_to_send():
            if data:
                self._transport().write(data)
            else:  # the protocol's sign for the end of what is written
                self._transport().close()
        if protocol.close_expected() and self._last_call is None:
            loop = asyncio.get_running_loop()
            self._last_call = loop.call_later(CLOSE_TIMEOUT, self.abort)

    def _transport(self) -> asyncio.Transport:
        assert self._wire is not None
        return self._wire

    def _take(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        data = bytes(frame.data)
        if not frame.fin or self._parts:
            self._parts.append(data)
        if not frame.fin:
            return
        self._messages.append(b"".join(self._parts) if self._parts else data)
        self._parts.clear()
        self._news.set()
        if len(self._messages) >= MOST_HELD and not self._is_paused:
            self._is_paused = True
            self._transport().pause_reading()

    def _end(self) -> Exception:
        closed: ConnectionClosed = self._protocol.close_exc
        closed.__cause__ = self._cause
        return closed
