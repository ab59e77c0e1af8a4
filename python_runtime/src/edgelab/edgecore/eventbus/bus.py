"""EventBus (KubeEdge `edge/pkg/eventbus`), with an external broker.

Receives: what programs on the node publish on the topics it subscribes to; the cloud router's wishes
(group `user`). Sends: device topics to DeviceTwin, everything else to the cloud's router. Stores: topics
that the router asked for. Without the broker: reconnects for ever, and what would be published is
dropped, as its readers are not there either. Without the cloud: uploads are dropped.

The original opens two connections, one for each direction; one serves both and half the memory.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import NoReturn
from urllib.parse import urlsplit

import msgspec

from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Fatal, Unreachable
from edgelab.edgecore.eventbus.mqtt import Broker, Mqtt
from edgelab.edgecore.interfaces import Hub, Offline
from edgelab.edgecore.store import Statement, Store
from edgelab.protocol import message as wire
from edgelab.protocol import topics
from edgelab.protocol.message import Message
from edgelab.settings import edgecore as settings

log = logging.getLogger(__name__)

FromDevice = Callable[[str, bytes], Awaitable[None]]
PORTS = {"tcp": 1883, "mqtt": 1883, "ssl": 8883, "tls": 8883, "mqtts": 8883}


class EventBus:
    """The module."""

    name = "eventbus"

    def __init__(
        self,
        config: settings.EventBus,
        store: Store,
        hub: Hub,
        clock: Clock,
        on_device: FromDevice | None,
    ) -> None:
        self._broker = broker(config)
        self._store = store
        self._hub = hub
        self._clock = clock
        self._on_device = on_device
        self._mqtt: Mqtt | None = None

    async def run(self) -> NoReturn:
        """Connect, subscribe, work; again when the broker was away."""
        waits = delays(1, 15)
        complaint = ""
        while True:
            mqtt = Mqtt(self._broker)
            try:
                await mqtt.connect()
            except Unreachable as error:
                log.log(logging.DEBUG if str(error) == complaint else logging.WARNING, "%s", error)
                complaint = str(error)
            else:
                waits, complaint = delays(1, 15), ""
                log.info("connected to MQTT broker %s:%d", self._broker.host, self._broker.port)
                log.warning("MQTT broker: %s", await self._session(mqtt))
            await self._clock.sleep(next(waits))

    def publish(self, topic: str, payload: bytes) -> None:
        """Tell MQTT clients; dropped without a broker."""
        if self._mqtt is not None:
            self._mqtt.publish(topic, payload)

    async def receive(self, message: Message) -> None:
        """Do what the cloud's router asks."""
        topic, operation = message.route.resource, message.route.operation
        match operation:
            case "subscribe":
                await self._keep(("INSERT OR IGNORE INTO sub_topics (topic) VALUES (?)", (topic,)))
                if self._mqtt is not None:
                    _subscribe(self._mqtt, topic)
            case "unsubscribe":
                await self._keep(("DELETE FROM sub_topics WHERE topic = ?", (topic,)))
                if self._mqtt is not None:
                    self._mqtt.unsubscribe(topic)
            case "publish":
                self.publish(topic, message.data())
            case "message":
                inner = message.object().get("message") or {}
                self.publish(str(inner.get("topic") or ""), msgspec.json.encode(inner))
            case _:
                log.warning("EventBus has no operation %r", operation)

    async def _keep(self, statement: Statement) -> None:
        """Remember a topic; a store that takes nothing costs it at the next start, not now."""
        try:
            await self._store.submit([statement])
        except sqlite3.Error as error:
            level = logging.DEBUG if self._store.problem else logging.ERROR
            log.log(level, "topic %s is not stored: %s", statement[1][0], error)

    async def _session(self, mqtt: Mqtt) -> str:
        mqtt.subscribe(topics.SUBSCRIPTIONS)
        for row in self._store.read("SELECT topic FROM sub_topics"):
            _subscribe(mqtt, row[0])
        self._mqtt = mqtt
        forward = asyncio.create_task(self._forward(mqtt), name="eventbus/forward")
        running = asyncio.create_task(mqtt.run(), name="eventbus/connection")
        try:
            await asyncio.wait((forward, running), return_when=asyncio.FIRST_COMPLETED)
            if forward.done():
                forward.result()  # it never ends by itself: this raises what went wrong
            return running.result()
        finally:
            self._mqtt = None
            for task in (forward, running):
                task.cancel()
            await asyncio.gather(forward, running, return_exceptions=True)

    async def _forward(self, mqtt: Mqtt) -> NoReturn:
        while True:
            topic, payload = await mqtt.get()
            if topic.startswith((topics.DEVICE, topics.NODE)):
                if self._on_device is not None:
                    await self._on_device(topic, payload)
            else:
                await self._upload(topic, payload)

    async def _upload(self, topic: str, payload: bytes) -> None:
        text = payload.decode("utf-8", "replace")
        upload = wire.new(source="bus", group="user", operation="upload", resource=topic, content=text)
        try:
            await self._hub.send(upload)
        except Offline:
            log.debug("offline: a message on %s is dropped", topic)


def _subscribe(mqtt: Mqtt, topic: str) -> None:
    try:
        mqtt.subscribe([topic])
    except ValueError as error:  # stored, it would end EdgeCore at every start
        log.warning("the cloud wants a subscription to %r, which MQTT does not allow: %s", topic, error)


def broker(config: settings.EventBus) -> Broker:
    """The external broker that the settings name. Raises Fatal for what cannot work."""
    if config.mqttMode != 2:
        raise Fatal(
            f"modules.eventBus.mqttMode {config.mqttMode} asks for an internal MQTT broker, which this "
            "EdgeCore does not have; set it to 2 and run a broker such as mosquitto at "
            f"{config.mqttServerExternal} (modules.eventBus.mqttServerExternal)"
        )
    url = urlsplit(config.mqttServerExternal)
    if url.scheme not in PORTS or not url.hostname:
        raise Fatal(
            f"modules.eventBus.mqttServerExternal: {config.mqttServerExternal!r} is neither "
            "tcp://HOST:PORT nor ssl://HOST:PORT"
        )
    return Broker(
        host=url.hostname,
        port=url.port or PORTS[url.scheme],
        client_id=config.mqttSubClientID or f"hub-client-sub-{str(time.time_ns() // 1_000_000)[:10]}",
        username=config.mqttUsername,
        password=config.mqttPassword,
        tls=_tls(config, encrypted=PORTS[url.scheme] == 8883),
    )


def _tls(config: settings.EventBus, *, encrypted: bool) -> ssl.SSLContext | None:
    tls = config.eventBusTLS
    if tls.enable:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(tls.tlsMqttCAFile)
            context.load_cert_chain(tls.tlsMqttCertFile, tls.tlsMqttPrivateKeyFile)
        except (OSError, ssl.SSLError) as error:
            raise Fatal(f"modules.eventBus.eventBusTLS: a file cannot be used: {error}") from error
        return context
    if not encrypted:
        return None
    # As the original does; whoever wants the broker checked enables eventBusTLS.
    log.warning("the MQTT broker's certificate is not checked; eventBusTLS.enable: true checks it")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
