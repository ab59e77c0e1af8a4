"""A node's WebSocket as `Link` has it: the library's protocol without I/O, between TLS and a session.

No task and no stream stands behind a connection, because thousands of them are idle most of the time.
Messages that nobody has taken yet are bounded: beyond `UNREAD` the connection is not read.
"""

from __future__ import annotations

import asyncio
import http
import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import Protocol, State
from websockets.server import ServerProtocol

from edgelab.cloudcore.cloudhub.link import BAD_FRAME, OVERSIZE, Broken, Gone
from edgelab.cloudcore.cloudhub.peer import Peer, peer_of

log = logging.getLogger("edgelab.cloudcore.websockets")
log.setLevel(logging.WARNING)  # the library tells of every connection, and so does the hub

CLOSE_SECONDS = 2.0
UNREAD, READ_AGAIN = 16, 4
DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)
BAD, TOO_BIG = 1002, 1009
"""Close codes of RFC 6455 that the library sends."""
REASON_BYTES = 120
"""What a close frame has room for, with a little to spare."""


class WebSocketLink(asyncio.Protocol):
    """One connection. `request` first, then `accept` or `reject`, then the rest."""

    __slots__ = (
        "_arrived",
        "_headers",
        "_limit",
        "_loop",
        "_lost",
        "_parts",
        "_peer",
        "_request",
        "_room",
        "_transport",
        "_waiter",
        "_websocket",
    )

    def __init__(self, limit: int) -> None:
        """`limit`: bytes of one message, at most."""
        self._loop = asyncio.get_running_loop()
        self._limit = limit
        self._websocket = ServerProtocol(max_size=limit, logger=log)
        self._transport: asyncio.Transport | None = None
        self._peer: Peer | None = None
        self._request: Request | None = None
        self._headers: dict[str, list[str]] = {}
        self._arrived: list[bytes] = []
        self._parts: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._lost: asyncio.Future[None] = self._loop.create_future()

    @property
    def peer(self) -> Peer:
        """The client's certificate, which TLS has verified."""
        if self._peer is None:
            assert self._transport is not None
            self._peer = peer_of(self._transport.get_extra_info("peercert"))
        return self._peer

    @property
    def stands(self) -> bool:
        """Whether TLS came about."""
        return self._transport is not None

    def header(self, name: str) -> list[str]:
        """All values of a header that `accept` was asked to keep."""
        return self._headers.get(name, [])

    async def request(self) -> Request:
        """What the node asks for in the handshake. Raises Gone; Broken for what is no HTTP."""
        while self._request is None:
            await self._something()
            error = self._websocket.handshake_exc
            if error is not None and not isinstance(error.__cause__, EOFError):
                raise Broken(BAD_FRAME, str(error.__cause__ or error), BAD, str(error))
        return self._request

    def accept(self, *, keep: frozenset[str], headers: Mapping[str, str] = MappingProxyType({})) -> bool:
        """Let the node in, remembering the headers named (in lower case); `headers` go into the answer.

        False when it is gone, or did not ask for a WebSocket and was told so.
        """
        assert self._request is not None
        if self._websocket.state is not State.CONNECTING:
            return False
        request, self._request = self._request, None
        response = self._websocket.accept(request)
        response.headers.update(headers)
        self._headers = {name: request.headers.get_all(name) for name in keep if name in request.headers}
        self._websocket.send_response(response)
        self._flush()
        if response.status_code != http.HTTPStatus.SWITCHING_PROTOCOLS:
            return False
        self._forget_request()
        return True

    def _forget_request(self) -> None:
        """The library's parser holds the request as long as it runs; the one of frames alone does not."""
        if not self._websocket.reader.buffer and self._websocket.state is State.OPEN:
            self._websocket.parser = Protocol.parse(self._websocket)
            next(self._websocket.parser)

    def reject(self, status: int, text: str, headers: dict[str, str]) -> None:
        """Answer with an error and hang up."""
        if self._websocket.state is not State.CONNECTING:
            return
        response = self._websocket.reject(status, text)
        for name, value in headers.items():
            response.headers[name] = value
        self._websocket.send_response(response)
        self._flush()

    async def receive(self) -> bytes:
        """The next message, its fragments joined. Raises Gone."""
        while not self._arrived:
            await self._something()
        message = self._arrived.pop(0)
        if len(self._arrived) == READ_AGAIN and self._transport is not None:
            self._transport.resume_reading()
        return message

    def offer(self, frame: bytes) -> bool:
        """Send one message of text if there is room for it now."""
        if self._room is not None or self._websocket.state is not State.OPEN:
            return False
        self._websocket.send_text(frame)
        self._flush()
        return True

    async def send(self, frame: bytes, *, binary: bool = False) -> None:
        """Send one message of text, or with `binary` of bytes. Raises Gone."""
        if self._websocket.state is not State.OPEN:
            await asyncio.shield(self._lost)
            raise self._why()
        if binary:
            self._websocket.send_binary(frame)
        else:
            self._websocket.send_text(frame)
        self._flush()
        if self._room is not None:
            await asyncio.shield(self._room)

    async def close(self, code: int, reason: str) -> None:
        """Close with a code of RFC 6455; a node that does not answer is hung up on."""
        if self._websocket.state is State.OPEN:
            self._websocket.send_close(code, reason.encode()[:REASON_BYTES].decode(errors="ignore"))
            self._flush()
        if self._transport is not None:
            await asyncio.wait([self._lost], timeout=CLOSE_SECONDS)
            self._transport.abort()

    def abort(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TLS stands."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of the node."""
        self._websocket.receive_data(data)
        for event in self._websocket.events_received():
            if isinstance(event, Request):
                self._request = event
            elif isinstance(event, Frame) and event.opcode in DATA:
                self._take(event)
        self._flush()
        self._wake()

    def eof_received(self) -> None:
        """The node says no more; TLS connections are closed then."""
        self._websocket.receive_eof()
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._websocket.receive_eof()
        self._lost.set_result(None)
        self.resume_writing()
        self._wake()

    def pause_writing(self) -> None:
        """The node takes less than it is sent."""
        self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        """There is room again."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    async def _something(self) -> None:
        """Wait until something has come. Raises Gone when nothing will."""
        if self._lost.done():
            raise self._why()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _take(self, frame: Frame) -> None:
        if not frame.fin or self._parts:
            self._parts.append(bytes(frame.data))
            if not frame.fin:
                return
            whole, self._parts = b"".join(self._parts), []
        else:
            whole = bytes(frame.data)
        self._arrived.append(whole)
        if len(self._arrived) == UNREAD and self._transport is not None:
            self._transport.pause_reading()

    def _flush(self) -> None:
        """Send what the protocol has to say; its last word is that it says no more."""
        if self._transport is None or self._lost.done():
            return
        for data in self._websocket.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()

    def _why(self) -> Gone:
        """Why the connection is gone: what it was closed for by us, if it was not lost."""
        if self._websocket.state is not State.CLOSED:
            return Gone("the connection is closed")
        closed = self._websocket.close_exc
        sent = closed.sent
        if sent is None or closed.rcvd_then_sent or sent.code not in (BAD, TOO_BIG):
            return Gone(str(closed))
        if sent.code == TOO_BIG:
            text = f"it sent a message of more than {self._limit} bytes"
            return Broken(OVERSIZE, text, sent.code, sent.reason)
        return Broken(BAD_FRAME, f"it does not speak WebSocket: {sent.reason}", sent.code, sent.reason)
