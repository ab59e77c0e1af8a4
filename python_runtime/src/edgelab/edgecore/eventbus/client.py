"""An MQTT 3.1.1 client on the event loop: packets in, packets out, nothing between.

It does what EdgeCore needs (QoS 1 both ways, a clean session) at a fraction of what paho-mqtt costs for each
message (docs/measured.md); paho serves where MQTT 5 is asked for. Each connection has an object of its own,
so that nothing of a lost one is left over.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Any, cast

from edgelab.daemon.errors import Unreachable
from edgelab.edgecore.eventbus import clientpackets, names
from edgelab.edgecore.eventbus.broker import packets
from edgelab.edgecore.eventbus.broker.packets import Malformed, Message
from edgelab.edgecore.eventbus.clientpackets import LONGEST_HEAD, Packet, Published, Stream
from edgelab.edgecore.eventbus.drops import Drops
from edgelab.edgecore.eventbus.inbox import Inbox
from edgelab.edgecore.eventbus.mqttlink import (
    CONNECT_TIMEOUT,
    KEEPALIVE,
    Connection,
    Endpoint,
    deliver,
)

log = logging.getLogger(__name__)

REFUSALS = {
    packets.BAD_VERSION: "it does not speak MQTT 3.1.1",
    packets.BAD_CLIENT_ID: "the client id is not accepted",
    packets.UNAVAILABLE: "it does not serve now",
    packets.BAD_LOGIN: "bad user name or password",
    packets.NOT_AUTHORIZED: "not authorized",
}
"""What codes of CONNACK mean."""


class Client(Connection, asyncio.Protocol):
    """One connection, which is its transport's protocol as well."""

    def __init__(
        self, endpoint: Endpoint, inbox: Inbox, drops: Drops, on_room: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(endpoint, inbox, drops, on_room)
        self._transport: asyncio.Transport | None = None
        self._socket: Any = None
        self._stream = Stream(endpoint.largest + LONGEST_HEAD)
        self._out: list[bytes] = []
        self._asked: dict[int, list[str]] = {}
        self._number = 0
        self._heard = self._loop.time()

    async def connect(self) -> None:
        """Connect and log in. Raises Unreachable with the reason."""
        own = self._endpoint
        where = f"MQTT broker {own.host}:{own.port}"
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self._loop.create_connection(lambda: self, own.host, own.port, ssl=own.tls)
                self._send(clientpackets.connect(own.client_id, KEEPALIVE, own.username, own.password))
                await asyncio.wait((self._accepted, self._lost), return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            self.close()
            raise Unreachable(f"{where}: no answer") from None
        except (OSError, ValueError) as error:
            raise Unreachable(f"{where}: {_reason(error)}") from error
        if self._lost.done():
            self.close()
            raise Unreachable(f"{where}: {self._lost.result()}")

    async def run(self) -> str:
        """Keep the connection alive until it is lost; returns why."""
        try:
            while not self._lost.done():
                await asyncio.wait((self._lost,), timeout=KEEPALIVE / 2)
                if self._loop.time() - self._heard > 1.5 * KEEPALIVE:
                    self._end("nothing was heard of it")
                self._send(clientpackets.PING)
            return self._lost.result()
        finally:
            self.close()

    def subscribe(self, filters: Iterable[str]) -> None:
        """Subscribe with QoS 1. A refusal is logged."""
        if topics := list(filters):
            number = self._next_number()
            self._asked[number] = topics
            self._send(clientpackets.subscribe(number, topics))

    def unsubscribe(self, topic: str) -> None:
        """Unsubscribe."""
        self._send(clientpackets.unsubscribe(self._next_number(), topic))

    def publish(self, topic: str, payload: bytes) -> bool:
        """Publish with QoS 1, not retained; False, and nothing done, when the broker does not keep up."""
        if not self.has_room:
            return False
        number, message = self._next_number(), Message(topic, payload)
        self._under_way[number] = message
        self._send(packets.packet(message, 1, number))
        return True

    def close(self) -> None:
        """Leave."""
        if self._transport is not None:
            self._send(clientpackets.GOODBYE)
            self._flush()
            self._transport.close()
            self._transport = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The way is open."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self._socket = transport.get_extra_info("socket")
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, error: Exception | None) -> None:
        """The way is closed."""
        self._transport = None
        self._end(f"the connection was closed{f' ({_reason(error)})' if error else ''}")

    def data_received(self, data: bytes) -> None:
        """Take in what the broker sent, and answer in one piece."""
        self._heard = self._loop.time()
        # Mosquitto leaves Nagle's algorithm on: it holds back the next message until we acknowledge the
        # last one, which Linux would delay by 40 ms. The option does not last, so it is set each time.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        try:
            for packet in self._stream.feed(data):
                self._take(packet)
        except Malformed as error:
            self._end(f"it does not speak MQTT as it must: {error}")
            if self._transport is not None:
                self._transport.abort()
        self._flush()
        if self._inbox.full and self._transport is not None and self._transport.is_reading():
            self._transport.pause_reading()
            self._inbox.when_free(self._go_on)

    def _go_on(self) -> None:
        if self._transport is not None:
            self._transport.resume_reading()

    def _take(self, packet: Packet) -> None:
        match packet.first >> 4:
            case packets.PUBLISH:
                published = clientpackets.published(packet)
                if published.number:
                    self._send(packets.acknowledgement(packets.PUBACK, published.number))
                self._deliver(published)
            case packets.PUBACK:
                self._acknowledged(packets.identifier(packet.body))
            case packets.CONNACK:
                self._answered(packet.body)
            case packets.SUBACK:
                asked = self._asked.pop(packets.identifier(packet.body[:2]), [])
                for topic, code in zip(asked, packet.body[2:], strict=False):
                    if code == packets.REFUSED:
                        log.warning("the MQTT broker refuses the subscription to %s", topic)

    def _deliver(self, published: Published) -> None:
        try:
            topic = published.topic.decode()
            problem = names.name_problem(topic)
        except UnicodeDecodeError:
            problem = "a topic is UTF-8"
        if problem:  # a broker should not have let it through
            self._drops.count(f"a message is refused: {problem}")
            return
        message = Message(topic, published.payload)
        deliver(self._inbox, self._drops, message, published.size, self._endpoint.largest)

    def _answered(self, body: bytes) -> None:
        code = body[1] if len(body) == 2 else -1
        if code == packets.ACCEPTED and not self._accepted.done():
            self._accepted.set_result(None)
        elif code != packets.ACCEPTED:
            self._end(f"login refused: {REFUSALS.get(code, 'for no known reason')}")

    def _next_number(self) -> int:
        """A packet identifier that is free."""
        self._number = self._number % 65535 + 1
        while self._number in self._under_way:
            self._number = self._number % 65535 + 1
        return self._number

    def _send(self, data: bytes) -> None:
        """Send with what else is sent in this turn of the loop."""
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(data)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out and self._transport is not None:
            self._transport.write(b"".join(out))


def _reason(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if isinstance(error, ssl.SSLError | socket.gaierror) or not number:
        return str(error)
    return os.strerror(number)
