"""The edge's end of a QUIC connection: whole messages on one stream (`edgelab.protocol.session.stream`)."""

from __future__ import annotations

import asyncio
from typing import NamedTuple, NoReturn, cast

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.quic import events
from aioquic.quic.connection import QuicConnection
from cryptography import x509

from edgelab.edgecore.edgehub.link import Disconnected
from edgelab.protocol.session.opening import STREAM
from edgelab.protocol.session.stream import MessageStream, StreamError

CLOSED, BAD = 1000, 1002
"""Codes as a WebSocket has them."""
REASON_LIMIT = 300


class Closed(NamedTuple):
    """How the connection ended: `code` is the application's when `ours` (QUIC's or TLS's else)."""

    code: int
    ours: bool
    reason: str


def _one_line(text: str) -> str:
    """What the other side wrote, fit for a log."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:REASON_LIMIT])


class _Connected(asyncio.DatagramTransport):
    """A connected socket's transport for a library that names the address each time: uvloop refuses one."""

    def __init__(self, transport: asyncio.DatagramTransport) -> None:
        super().__init__()
        self._transport = transport

    def sendto(self, data: bytes | bytearray | memoryview, addr: object = None) -> None:
        """Send to the one address that there is."""
        self._transport.sendto(data)


class Wire(QuicConnectionProtocol):
    """One connection, from its handshake to its end."""

    def __init__(self, quic: QuicConnection) -> None:
        super().__init__(quic)
        self.messages = MessageStream()
        self.closed: Closed | None = None
        """Set when the other side, or a rule of QUIC or TLS, has ended it."""
        self.opened = asyncio.Event()
        """Set after the handshake, and also when there is none any more."""
        self._why = ""
        self._arrived, self._room = asyncio.Event(), asyncio.Event()
        self._heard = self._loop.time()
        self._pings = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        datagrams = cast("asyncio.DatagramTransport", transport)  # uvloop's is none by its bases
        super().connection_made(_Connected(datagrams))
        self._datagrams = datagrams

    def quic_event_received(self, event: events.QuicEvent) -> None:
        """Called by the library."""
        match event:
            case events.HandshakeCompleted():
                self._heard = self._loop.time()
                self.opened.set()
            case events.PingAcknowledged():
                self._heard = self._loop.time()
            case events.StreamDataReceived():
                self._heard = self._loop.time()
                self._take_in(event)
            case events.StreamReset() | events.StopSendingReceived():
                self._finish("CloudCore gave the stream up")
            case events.ConnectionTerminated():
                reason = _one_line(event.reason_phrase)
                self.closed = self.closed or Closed(event.error_code, event.frame_type is None, reason)
                self._finish(reason or f"closed with code {event.error_code}")

    def error_received(self, exc: Exception) -> None:
        """Called by the transport: nobody listens there. Anything else may pass by itself."""
        if isinstance(exc, ConnectionRefusedError):
            self._finish("connection refused")

    def certificate(self) -> x509.Certificate | None:
        """The server's, as TLS has verified it; None when this release of the library does not tell."""
        found = getattr(self._quic.tls, "_peer_certificate", None)
        return found if isinstance(found, x509.Certificate) else None

    def silence(self) -> float:
        """Seconds since anything came that the peer had signed. Raises Disconnected."""
        self.check()
        return self._loop.time() - self._heard

    def check(self) -> None:
        """Raises Disconnected when the connection has ended."""
        if self._why:
            raise Disconnected(self._why)

    async def receive(self) -> bytes:
        """The next message. Raises Disconnected."""
        while (message := self.messages.take()) is None:
            self.check()
            self._arrived.clear()
            await self._arrived.wait()
        self._write(self.messages.receipt())
        return message

    async def send(self, frame: bytes) -> None:
        """Send a message once CloudCore has room. Raises Disconnected."""
        while not self._why and not self.messages.may_send:
            self._room.clear()
            await self._room.wait()
        self.check()
        self._write(self.messages.frame(frame))

    async def ask_for_life(self, seconds: float) -> NoReturn:
        """Have the peer acknowledge something every `seconds`."""
        while True:
            await asyncio.sleep(seconds)
            self._pings += 1
            self._quic.send_ping(self._pings)
            self.transmit()

    def hang_up(self) -> None:
        """Say goodbye; nothing goes in or out any more."""
        self._finish("closed")
        self.close(error_code=CLOSED)
        self._datagrams.close()

    def _take_in(self, event: events.StreamDataReceived) -> None:
        if self._why:
            return
        try:
            if event.stream_id != STREAM:
                raise StreamError("CloudCore opened another stream")
            self.messages.feed(event.data)
        except StreamError as error:
            self._finish(str(error))
            self.close(error_code=BAD, reason_phrase=str(error))
        if event.end_stream:
            self._finish("CloudCore ended the stream")
        self._arrived.set()
        if self.messages.may_send:
            self._room.set()

    def _finish(self, why: str) -> None:
        self._why = self._why or why
        for event in (self.opened, self._arrived, self._room):
            event.set()

    def _write(self, data: bytes) -> None:
        if data and not self._why:
            self._quic.send_stream_data(STREAM, data)
            self.transmit()
