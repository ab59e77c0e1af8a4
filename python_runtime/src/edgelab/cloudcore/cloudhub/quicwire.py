"""A node's QUIC connection: whole messages on its one stream (`edgelab.protocol.session.stream`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from aioquic.asyncio.protocol import QuicConnectionProtocol, QuicStreamHandler
from aioquic.quic import events
from aioquic.quic.connection import QuicConnection

from edgelab.cloudcore.cloudhub.link import BAD_FRAME, OVERSIZE, Broken, Gone
from edgelab.cloudcore.cloudhub.peer import Peer
from edgelab.protocol.session.opening import ALPN, OPENING_LIMIT, STREAM
from edgelab.protocol.session.stream import MessageStream, StreamError, TooLarge

BAD, TOO_BIG = 1002, 1009
"""Codes as a WebSocket has them."""
REASON_LIMIT = 200


class Wire(QuicConnectionProtocol):
    """One connection. `opened(wire)` is called after the handshake, `ended(wire, text)` once at the end, with
    a text when there was no handshake."""

    def __init__(
        self,
        quic: QuicConnection,
        stream_handler: QuicStreamHandler | None = None,
        *,
        opened: Callable[[Wire], None],
        ended: Callable[[Wire, str], None],
    ) -> None:
        super().__init__(quic, stream_handler)
        self.messages = MessageStream(OPENING_LIMIT)
        self._opened = opened
        self._ended = ended
        self._greeted = False
        self._end: Callable[[], Gone] | None = None
        self._arrived, self._room = asyncio.Event(), asyncio.Event()

    def quic_event_received(self, event: events.QuicEvent) -> None:
        """Called by the library."""
        match event:
            case events.HandshakeCompleted():
                self._greet(event.alpn_protocol)
            case events.StreamDataReceived():
                self._take_in(event)
            case events.StreamReset() | events.StopSendingReceived():
                self.finish(lambda: Gone("the node gave its stream up"))
            case events.ConnectionTerminated():
                # Anybody may have written the reason: it goes into the log as a quotation.
                why = f"code {event.error_code:#x} {event.reason_phrase[:REASON_LIMIT]!r}"
                self.finish(lambda: Gone(why))
                self._ended(self, "" if self._greeted else why)

    async def receive(self) -> bytes:
        """The next message. Raises Gone."""
        while (message := self.messages.take()) is None:
            if self._end is not None:
                raise self._end()
            self._arrived.clear()
            await self._arrived.wait()
        self._write(self.messages.receipt())
        return message

    def offer(self, frame: bytes) -> bool:
        """Send a message if the node has room for it now."""
        if self._end is not None or not self.messages.may_send:
            return False
        self._write(self.messages.frame(frame))
        return True

    async def send(self, frame: bytes) -> None:
        """Send a message once the node has room. Raises Gone."""
        while self._end is None and not self.messages.may_send:
            self._room.clear()
            await self._room.wait()
        if self._end is not None:
            raise self._end()
        self._write(self.messages.frame(frame))

    def finish(self, why: Callable[[], Gone]) -> None:
        """Let nothing go in or out any more; the first reason counts."""
        if self._end is None:
            self._end = why
        self._arrived.set()
        self._room.set()

    def hang_up(self, code: int, reason: str) -> None:
        """Tell the node why, and close."""
        self.finish(lambda: Gone(reason))
        self.close(error_code=code, reason_phrase=reason[:REASON_LIMIT])

    def _greet(self, protocol: str | None) -> None:
        self._greeted = True
        if protocol == ALPN:
            self._opened(self)
        else:
            self.hang_up(BAD, f"expected the protocol {ALPN}")

    def _take_in(self, event: events.StreamDataReceived) -> None:
        if self._end is not None:
            return
        if event.stream_id != STREAM:
            self._break(BAD_FRAME, "it opened more than one stream", BAD)
            return
        try:
            self.messages.feed(event.data)
        except TooLarge as error:
            self._break(OVERSIZE, f"it sent {error} bytes", TOO_BIG)
        except StreamError as error:
            self._break(BAD_FRAME, str(error), BAD)
        if event.end_stream:
            self.finish(lambda: Gone("the node ended its stream"))
        self._arrived.set()
        if self.messages.may_send:
            self._room.set()

    def _break(self, reason: str, text: str, code: int) -> None:
        self.finish(lambda: Broken(reason, text, code, text))
        self.close(error_code=code, reason_phrase=text[:REASON_LIMIT])

    def _write(self, data: bytes) -> None:
        if data and self._end is None:
            self._quic.send_stream_data(STREAM, data)
            self.transmit()


class QuicLink:
    """A node that was let in, as `Link` has it."""

    __slots__ = ("_headers", "_wire", "peer")

    def __init__(self, wire: Wire, peer: Peer, headers: Mapping[str, str]) -> None:
        self._wire = wire
        self._headers = headers
        self.peer = peer

    def header(self, name: str) -> list[str]:
        """The value of a header of the first message, if it was there."""
        return [self._headers[name]] if name in self._headers else []

    async def receive(self) -> bytes:
        """The next message. Raises Gone."""
        return await self._wire.receive()

    def offer(self, frame: bytes) -> bool:
        """Send a message if the node has room for it now."""
        return self._wire.offer(frame)

    async def send(self, frame: bytes) -> None:
        """Send a message once the node has room. Raises Gone."""
        await self._wire.send(frame)

    async def close(self, code: int, reason: str) -> None:
        """Close with a code as a WebSocket has it."""
        self._wire.hang_up(code, reason[:100])
