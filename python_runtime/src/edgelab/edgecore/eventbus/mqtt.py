"""An MQTT 3.1.1 client on the event loop: paho-mqtt without its thread.

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
import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from edgelab.daemon.errors import Unreachable

log = logging.getLogger(__name__)

R = TypeVar("R")

KEEPALIVE = 30
CONNECT_TIMEOUT = 5.0
INCOMING = 256
"""Messages that may wait for DeviceTwin; then the socket is not read until half of them are gone."""

OUTGOING = 1024
"""QoS 1 messages that may wait for the broker; further ones are dropped and counted."""


@dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is and who we are there."""

    host: str
    port: int
    client_id: str
    username: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None


class Mqtt:
    """One connection. `run` lasts until it is lost; received messages are taken by `get`."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._loop = asyncio.get_running_loop()
        self._lost: asyncio.Future[str] = self._loop.create_future()
        self._accepted: asyncio.Future[None] = self._loop.create_future()
        self._socket: socket.socket | None = None
        self._incoming: deque[tuple[str, bytes]] = deque()
        self._arrived = asyncio.Event()
        self._paused = False
        self.dropped = 0
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id=broker.client_id, reconnect_on_failure=False
        )
        self._client.connect_timeout = CONNECT_TIMEOUT
        self._client.max_queued_messages_set(OUTGOING)
        self._client.max_inflight_messages_set(100)
        self._client.on_message = self._on_message
        self._client.on_connect = self._on_connect
        if broker.username:
            self._client.username_pw_set(broker.username, broker.password)
        if broker.tls is not None:
            self._client.tls_set_context(broker.tls)

    async def connect(self) -> None:
        """Connect and log in. Raises Unreachable with the reason."""
        broker = self._broker
        where = f"MQTT broker {broker.host}:{broker.port}"
        try:
            await _in_thread(lambda: self._client.connect(broker.host, broker.port, KEEPALIVE))
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

    async def run(self) -> str:
        """Keep the connection alive until it is lost; returns why."""
        try:
            while not self._lost.done():
                await asyncio.wait((self._lost,), timeout=1)
                self._check(self._client.loop_misc())
            return self._lost.result()
        finally:
            self.close()

    def subscribe(self, filters: Iterable[str]) -> None:
        """Subscribe with QoS 1."""
        if wanted := [(topic, 1) for topic in filters]:
            self._check(self._client.subscribe(wanted)[0])

    def unsubscribe(self, topic: str) -> None:
        """Unsubscribe."""
        self._check(self._client.unsubscribe(topic)[0])

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1, not retained; dropped when the queue is full."""
        if self._client.publish(topic, payload, qos=1).rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            self.dropped += 1

    async def get(self) -> tuple[str, bytes]:
        """The next received message."""
        while not self._incoming:
            self._arrived.clear()
            await self._arrived.wait()
        message = self._incoming.popleft()
        if self._paused and len(self._incoming) <= INCOMING // 2 and self._socket is not None:
            self._paused = False
            self._loop.add_reader(self._socket, self._readable)
        return message

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
        while isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() and not self._paused:
            self._check(self._client.loop_read())  # decrypted already, so the loop will not say so

    def _writable(self) -> None:
        self._check(self._client.loop_write())

    def _check(self, code: MQTTErrorCode) -> None:
        if code not in (MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_AGAIN):
            self._end(f"connection lost ({code.name})")

    def _end(self, why: str) -> None:
        if not self._lost.done():
            self._lost.set_result(why)

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._end(f"login refused: {reason}")
        elif not self._accepted.done():
            self._accepted.set_result(None)

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        self._incoming.append((message.topic, bytes(message.payload)))
        self._arrived.set()
        if len(self._incoming) >= INCOMING and not self._paused and self._socket is not None:
            self._paused = True
            self._loop.remove_reader(self._socket)

    def _on_socket_close(self, _client: Client, _data: Any, _sock: Any) -> None:
        self._unwatch()
        self._end("the connection was closed")

    def _on_register_write(self, _client: Client, _data: Any, _sock: Any) -> None:
        if self._socket is not None:
            self._loop.add_writer(self._socket, self._writable)

    def _on_unregister_write(self, _client: Client, _data: Any, _sock: Any) -> None:
        if self._socket is not None:
            self._loop.remove_writer(self._socket)


async def _in_thread(work: Callable[[], R]) -> R:
    """Run blocking work in a thread of its own, which ends with it."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[R] = loop.create_future()

    def finish(result: R | None, error: Exception | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # R may be None itself

    def target() -> None:
        result: R | None = None
        failure: Exception | None = None
        try:
            result = work()
        except Exception as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(finish, result, failure)

    threading.Thread(target=target, name="mqtt-connect", daemon=True).start()
    return await done
