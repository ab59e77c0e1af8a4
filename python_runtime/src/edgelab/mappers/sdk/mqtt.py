"""An MQTT 3.1.1 client on asyncio: paho without its thread.

Receives: messages of its subscriptions, handed to callbacks on the event loop. Sends: what `publish`
is given, while connected; nothing is kept for later, since a twin's newest value is all that counts.
When the broker is gone it comes back with growing delays and subscribes again.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from edgelab.daemon import backoff
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.errors import Fatal

log = logging.getLogger("edgelab.mappers.mqtt")

Handler: TypeAlias = Callable[[str, bytes], None]
"""`handler(topic, payload)`: called on the event loop, must not block."""

DEFAULT_PORT = 1883
KEEP_ALIVE = 30
CONNECT_SECONDS = 5.0
FIRST_DELAY, LONGEST_DELAY = 0.2, 10.0
MISC_SECONDS = 1.0
QOS = 1
MAX_UNSENT = 1000
"""Messages that paho holds while the socket is slow; more than these are refused."""


class Offline(Exception):
    """There is no connection to the broker; the message was not sent."""


class Broker:
    """A module: `run` it in a task group. One connection to one broker."""

    name = "mqtt"

    def __init__(
        self,
        address: str,
        client_id: str,
        *,
        username: str = "",
        password: str = "",
        clock: Clock = SYSTEM,
    ) -> None:
        self._host, self._port = split_address(address)
        self._clock = clock
        self._handlers: dict[str, Handler] = {}
        self._listeners: list[Callable[[], None]] = []
        self._publications: list[Callable[[], None]] = []
        self._connected = asyncio.Event()
        self._gone = asyncio.Event()
        self._refusal = ""
        self._complaint = ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{client_id}-{os.getpid()}",
            reconnect_on_failure=False,
        )
        self._client.max_queued_messages_set(MAX_UNSENT)
        self._client.connect_timeout = CONNECT_SECONDS
        if username:
            self._client.username_pw_set(username, password)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_message = self._on_message
        self._client.on_publish = self._on_publish
        self._client.on_socket_open = self._on_socket_open
        self._client.on_socket_close = self._on_socket_close
        self._client.on_socket_register_write = self._on_want_write
        self._client.on_socket_unregister_write = self._on_no_write

    @property
    def connected(self) -> bool:
        """Whether messages can be sent now."""
        return self._connected.is_set()

    async def wait_connected(self) -> None:
        """Wait for a connection."""
        await self._connected.wait()

    def on_connected(self, listener: Callable[[], None]) -> None:
        """Call `listener()` after each connection, when the subscriptions have been sent."""
        self._listeners.append(listener)

    def subscribe(self, topic: str, handler: Handler) -> None:
        """Hand messages of a topic filter to `handler`, now and after each reconnect."""
        self._handlers[topic] = handler
        self._client.message_callback_add(topic, lambda _client, _data, m: handler(m.topic, bytes(m.payload)))
        if self.connected:
            self._client.subscribe(topic, QOS)

    def on_published(self, listener: Callable[[], None]) -> None:
        """Call `listener()` when a message has arrived (with QoS 0: left), and when a connection ends."""
        self._publications.append(listener)

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, qos: int = QOS
    ) -> paho.MQTTMessageInfo:
        """Send; what comes back tells whether the broker has it. Raises Offline."""
        if not self.connected:
            raise Offline(f"no connection to {self._host}:{self._port}")
        done = self._client.publish(topic, payload, qos, retain)
        if done.rc != paho.MQTT_ERR_SUCCESS:
            raise Offline(paho.error_string(done.rc))
        return done

    async def run(self) -> None:
        """Stay connected until cancelled."""
        self._loop = asyncio.get_running_loop()
        delays = backoff.delays(FIRST_DELAY, LONGEST_DELAY)
        try:
            while True:
                if await self._session():
                    delays = backoff.delays(FIRST_DELAY, LONGEST_DELAY)
                await self._clock.sleep(next(delays))
        finally:
            self._client.disconnect()

    async def _session(self) -> bool:
        """One connection, until it ends; whether it ever stood."""
        self._gone.clear()
        try:
            await asyncio.to_thread(self._client.connect, self._host, self._port, KEEP_ALIVE)
        except OSError as error:
            self._complain(f"no broker at {self._host}:{self._port}: {error.strerror or error}")
            return False
        misc = asyncio.create_task(self._misc(), name="mqtt/misc")
        try:
            await self._gone.wait()
        finally:
            misc.cancel()
            with suppress(asyncio.CancelledError):
                await misc
        stood = self.connected
        self._connected.clear()
        self._complain(f"connection to {self._host}:{self._port} ended{self._refusal}")
        self._on_publish()
        return stood

    def _complain(self, text: str) -> None:
        """Tell what is wrong, the same only once."""
        log.log(logging.DEBUG if text == self._complaint else logging.WARNING, "%s", text)
        self._complaint = text

    async def _misc(self) -> None:
        """Keep-alive and timeouts; paho notices by itself when the broker has been silent too long."""
        while self._client.loop_misc() == paho.MQTT_ERR_SUCCESS:
            await self._clock.sleep(MISC_SECONDS)
        self._gone.set()

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self._refusal = f": {reason}"
            return
        self._refusal = self._complaint = ""
        for topic in self._handlers:
            self._client.subscribe(topic, QOS)
        self._connected.set()
        for listener in self._listeners:
            listener()
        log.info("connected to %s:%s", self._host, self._port)

    def _on_disconnect(self, *_: Any) -> None:
        self._gone.set()

    def _on_publish(self, *_: Any) -> None:
        for listener in self._publications:
            listener()

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        log.debug("no handler for %s", message.topic)

    # paho opens the socket in the thread that connects; all else happens on the loop.
    def _on_socket_open(self, _client: Any, _data: Any, sock: Any) -> None:
        self._soon(lambda: self._watch(sock))

    def _watch(self, sock: Any) -> None:
        assert self._loop is not None
        self._loop.add_reader(sock, self._client.loop_read)

    def _on_socket_close(self, _client: Any, _data: Any, sock: Any) -> None:
        assert self._loop is not None
        self._loop.remove_reader(sock)
        self._loop.remove_writer(sock)

    def _on_want_write(self, _client: Any, _data: Any, sock: Any) -> None:
        self._soon(lambda: self._watch_write(sock))

    def _watch_write(self, sock: Any) -> None:
        assert self._loop is not None
        if sock.fileno() >= 0 and self._client.want_write():
            self._loop.add_writer(sock, self._client.loop_write)

    def _on_no_write(self, _client: Any, _data: Any, sock: Any) -> None:
        assert self._loop is not None
        self._loop.remove_writer(sock)

    def _soon(self, call: Callable[[], None]) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(call)


def split_address(text: str) -> tuple[str, int]:
    """Host and port of `tcp://host:port` or `host[:port]`. Raises Fatal."""
    parts = urlsplit(text if "//" in text else f"tcp://{text}")
    try:
        port = parts.port or DEFAULT_PORT
    except ValueError:
        port = 0
    if parts.scheme not in ("tcp", "mqtt") or not parts.hostname or not port:
        raise Fatal(f"broker address {text!r}: expected tcp://host:port")
    return parts.hostname, port


def password(file: str) -> str:
    """A broker's password, from its file; empty without one. Raises Fatal."""
    if not file:
        return ""
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Fatal(f"password file {file}: {error.strerror}") from None
