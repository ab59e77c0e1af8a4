"""One connection of a simulated node: an asyncio protocol that joins TLS, WebSocket and session.

No task and no stream stands behind a connection, so that it costs little: the WebSocket is the
`websockets` library's own protocol without I/O, the session is `SimulatedNode`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from benchmarks.simulator.credentials import Trust
from benchmarks.simulator.node import NEVER, SimulatedNode
from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from edgelab.protocol import message as wire

WINDOW = "16"


class Link(asyncio.Protocol):
    """`ready` is done when the session is up, or has the reason why not.

    `ended` is called once at the end, `sooner` when an answer makes the node due before `due`.
    """

    def __init__(
        self,
        node: SimulatedNode,
        address: str,
        trust: Trust,
        *,
        ended: Callable[[Link], None],
        sooner: Callable[[Link], None],
    ) -> None:
        loop = asyncio.get_running_loop()
        self.node = node
        self.due = 0.0
        """When the node has something to say again; kept by the fleet."""
        self.ready: asyncio.Future[None] | None = loop.create_future()
        self._clock = loop.time
        self._trust = trust
        self._ended = ended
        self._sooner = sooner
        uri = parse_uri(f"wss://{address}/edgelab/{node.name}/events")
        self._websocket = ClientProtocol(uri, max_size=None)
        self._parts: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TLS stands; ask for the upgrade if the server is the right one."""
        self._transport = cast(asyncio.Transport, transport)
        try:
            self._trust.check(transport.get_extra_info("ssl_object").getpeercert(True))
        except ConnectionError as error:
            self._settle(error)
            self.close()
            return
        request = self._websocket.connect()
        request.headers.update(
            Headers({"Node_id": self.node.name, "Connectionuse": "msg", "Edgelab-window": WINDOW})
        )
        self._websocket.send_request(request)
        self._send()

    def data_received(self, data: bytes) -> None:
        """Bytes of the cloud."""
        self._websocket.receive_data(data)
        for event in self._websocket.events_received():
            if isinstance(event, Response):
                self._upgraded()
            elif isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.CONT):
                self._frame(event)
        if self._websocket.handshake_exc is not None:
            self._settle(self._websocket.handshake_exc)
            self.close()
            return
        self.flush()
        if self.due and self.next_due() < self.due:
            self._sooner(self)

    def eof_received(self) -> None:
        """The cloud has said all it had to say."""
        self._websocket.receive_eof()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._settle(exc or InvalidHandshake("the cloud closed the connection"))
        self.node.disconnected()
        self._ended(self)

    def flush(self) -> None:
        """Send what the node has to say now."""
        if self._websocket.state is State.OPEN:
            now = self._clock()
            while (message := self.node.next(now)) is not None:
                self._websocket.send_text(wire.encode(message))
        self._send()

    def next_due(self) -> float:
        """When `flush` has something to do again, if nothing else happens."""
        return self.node.next_due(self._clock()) if self._websocket.state is State.OPEN else NEVER

    def close(self) -> None:
        """End the connection as a process does that is killed."""
        if self._transport is not None:
            self._transport.abort()

    def _upgraded(self) -> None:
        if self._websocket.state is State.OPEN:
            self.node.connected(self._clock())
            self._settle(None)

    def _settle(self, error: Exception | None) -> None:
        future, self.ready = self.ready, None
        if future is None or future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def _frame(self, frame: Frame) -> None:
        if frame.fin and not self._parts:
            self.node.receive(wire.decode(bytes(frame.data)), self._clock())
            return
        self._parts.append(bytes(frame.data))
        if frame.fin:
            whole, self._parts = b"".join(self._parts), []
            self.node.receive(wire.decode(whole), self._clock())

    def _send(self) -> None:
        assert self._transport is not None
        for data in self._websocket.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()
