"""An MQTT 5 client on the event loop: paho-mqtt without its thread.

paho reads and writes when the loop says that the socket is ready. Only connecting, which blocks,
happens in a thread that ends with it. Each connection has a client object of its own, so that
nothing of a lost one is left over.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable, Iterable
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgelab.daemon.errors import Unreachable
from edgelab.edgecore.eventbus.broker.packets import Message
from edgelab.edgecore.eventbus.drops import Drops
from edgelab.edgecore.eventbus.inbox import Inbox
from edgelab.edgecore.eventbus.mqttlink import (
    CONNECT_TIMEOUT,
    HEADER,
    KEEPALIVE,
    UNDER_WAY,
    Connection,
    Endpoint,
    deliver,
)
from edgelab.edgecore.eventbus.thread import in_thread

log = logging.getLogger(__name__)

LOOK = 5.0
"""Seconds between two looks at whether a ping is due or its answer missing."""

VERSIONS = {"3.1.1": MQTTProtocolVersion.MQTTv311, "5": MQTTProtocolVersion.MQTTv5}


class Mqtt(Connection):
    """One connection."""

    def __init__(
        self, endpoint: Endpoint, inbox: Inbox, drops: Drops, on_room: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(endpoint, inbox, drops, on_room)
        self._socket: socket.socket | None = None
        self._paused = False
        self._asked: dict[int | None, list[str]] = {}
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=endpoint.client_id,
            protocol=VERSIONS[endpoint.version],
            reconnect_on_failure=False,
        )
        self._client.connect_timeout = CONNECT_TIMEOUT
        self._client.max_inflight_messages_set(UNDER_WAY)
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._client.on_subscribe = self._on_subscribe
        self._client.on_connect = self._on_connect
        if endpoint.username:
            self._client.username_pw_set(endpoint.username, endpoint.password)
        if endpoint.tls is not None:
            self._client.tls_set_context(endpoint.tls)

    async def connect(self) -> None:
        """Connect and log in. Raises Unreachable with the reason."""
        host, port = self._endpoint.host, self._endpoint.port
        where = f"MQTT broker {host}:{port}"
        try:
            await in_thread(
                "mqtt-connect",
                lambda: self._client.connect(host, port, KEEPALIVE, properties=self._properties()),
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise Unreachable(f"{where}: {reason}") from error
        self._watch()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await asyncio.wait((self._accepted, self._lost), return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            self.close()
            raise Unreachable(f"{where}: no answer") from None
        if self._lost.done():
            self.close()
            raise Unreachable(f"{where}: {self._lost.result()}")

    def _properties(self) -> Properties | None:
        if self._endpoint.version != "5":
            return None
        properties: Properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.MaximumPacketSize = self._endpoint.largest + HEADER
        return properties

    async def run(self) -> str:
        """Keep the connection alive until it is lost; returns why."""
        try:
            while not self._lost.done():
                await asyncio.wait((self._lost,), timeout=LOOK)
                self._check(self._client.loop_misc())
            return self._lost.result()
        finally:
            self.close()

    def subscribe(self, filters: Iterable[str]) -> None:
        """Subscribe with QoS 1. A refusal is logged."""
        topics = list(filters)
        if topics:
            code, number = self._client.subscribe([(topic, 1) for topic in topics])
            self._asked[number] = topics
            self._check(code)

    def unsubscribe(self, topic: str) -> None:
        """Unsubscribe."""
        self._check(self._client.unsubscribe(topic)[0])

    def publish(self, topic: str, payload: bytes) -> bool:
        """Publish with QoS 1, not retained; False, and nothing done, when the broker does not keep up."""
        if not self.has_room:
            return False
        sent = self._client.publish(topic, payload, qos=1)
        self._under_way[sent.mid] = Message(topic, payload)
        return True

    def close(self) -> None:
        """Leave."""
        if self._socket is None:
            return
        with contextlib.suppress(OSError, ValueError):
            self._client.disconnect()
            self._client.loop_write()
        self._unwatch()
        self._client.on_socket_close = None
        self._client.on_socket_register_write = None

    def _watch(self) -> None:
        sock = self._client.socket()
        if not isinstance(sock, socket.socket):
            self._end("the connection was closed")
            return
        self._socket = sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client.on_socket_close = self._on_socket_close
        self._client.on_socket_register_write = self._on_register_write
        self._client.on_socket_unregister_write = self._on_unregister_write
        self._loop.add_reader(sock, self._readable)
        if self._client.want_write():
            self._loop.add_writer(sock, self._writable)

    def _unwatch(self) -> None:
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket = None

    def _readable(self) -> None:
        if self._socket is not None:
            # Mosquitto leaves Nagle's algorithm on: it holds back the next message until we acknowledge the
            # last one, which Linux would delay by 40 ms. The option does not last, so it is set each time.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        self._check(self._client.loop_read())
        self._read_decrypted()

    def _read_decrypted(self) -> None:
        """Read what TLS has taken from the socket already, of which the event loop does not know."""
        while isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() and not self._paused:
            self._check(self._client.loop_read())

    def _writable(self) -> None:
        self._check(self._client.loop_write())

    def _check(self, code: MQTTErrorCode) -> None:
        if code not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_AGAIN):
            self._end(f"connection lost ({code.name})")

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._end(f"login refused: {reason}")
        elif not self._accepted.done():
            self._accepted.set_result(None)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # a broker should not have let it through
            self._drops.count("a message is refused, its topic is not UTF-8")
            return
        found = Message(topic, bytes(message.payload))
        deliver(self._inbox, self._drops, found, len(found.payload), self._endpoint.largest)
        if self._inbox.full and not self._paused and self._socket is not None:
            self._paused = True
            self._loop.remove_reader(self._socket)
            self._inbox.when_free(self._go_on)

    def _go_on(self) -> None:
        self._paused = False
        if self._socket is not None:
            self._loop.add_reader(self._socket, self._readable)
            self._loop.call_soon(self._read_decrypted)

    def _on_publish(self, _client: Client, _data: Any, number: int, reason: Any, _properties: Any) -> None:
        sent = self._acknowledged(number)
        if sent is not None and reason.is_failure:
            self._drops.count(f"the broker refuses a message on {sent.topic!r}: {reason}")

    def _on_subscribe(self, _client: Client, _data: Any, number: int, reasons: Any, _properties: Any) -> None:
        for topic, reason in zip(self._asked.pop(number, ()), reasons, strict=False):
            if reason.is_failure:
                log.warning("the MQTT broker refuses the subscription to %s: %s", topic, reason)

    def _on_socket_close(self, _client: Client, _data: Any, _sock: Any) -> None:
        self._unwatch()
        self._end("the connection was closed")

    def _on_register_write(self, _client: Client, _data: Any, _sock: Any) -> None:
        if self._socket is not None:
            self._loop.add_writer(self._socket, self._writable)

    def _on_unregister_write(self, _client: Client, _data: Any, _sock: Any) -> None:
        if self._socket is not None:
            self._loop.remove_writer(self._socket)
