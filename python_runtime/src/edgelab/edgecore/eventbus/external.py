"""The link with an external broker: connect, subscribe, work; again when it was away."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import NoReturn

from edgelab.daemon.backoff import delays
from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Unreachable
from edgelab.edgecore.eventbus.addresses import address
from edgelab.edgecore.eventbus.broker.packets import Message
from edgelab.edgecore.eventbus.client import Client
from edgelab.edgecore.eventbus.drops import Drops
from edgelab.edgecore.eventbus.inbox import Inbox
from edgelab.edgecore.eventbus.mqttlink import Connection, Endpoint
from edgelab.edgecore.eventbus.outgoing import Outgoing
from edgelab.edgecore.eventbus.tls import Tls, client_tls
from edgelab.settings import edgecore as settings

log = logging.getLogger(__name__)

FIRST_WAIT, LONGEST_WAIT = 1.0, 15.0
STEADY = 10.0
"""Seconds a connection has to last before the next loss is retried quickly again."""


class External:
    """The link. What is published while there is no broker waits (`outgoing`)."""

    name = "external"

    def __init__(self, endpoint: Endpoint, tls: Tls | None, inbox: Inbox, clock: Clock, drops: Drops) -> None:
        self._endpoint = endpoint
        self._tls = tls
        self._inbox = inbox
        self._clock = clock
        self._drops = drops
        self._filters: dict[str, None] = {}
        self._outgoing = Outgoing(clock, drops)
        self._mqtt: Connection | None = None
        self._drained = asyncio.Event()

    async def run(self) -> NoReturn:
        """Work until cancelled."""
        waits = delays(FIRST_WAIT, LONGEST_WAIT)
        complaint = ""
        while True:
            if self._tls is not None:
                self._tls.refresh()
            mqtt = self._connection()
            try:
                await mqtt.connect()
            except Unreachable as error:
                log.log(logging.DEBUG if str(error) == complaint else logging.WARNING, "%s", error)
                complaint = str(error)
            else:
                complaint, began = "", self._clock.monotonic()
                log.info("connected to MQTT broker %s:%d", self._endpoint.host, self._endpoint.port)
                log.warning("MQTT broker: %s", await self._session(mqtt))
                if self._clock.monotonic() - began > STEADY:
                    waits = delays(FIRST_WAIT, LONGEST_WAIT)
            await self._clock.sleep(next(waits))

    def publish(self, topic: str, payload: bytes) -> None:
        """Tell MQTT clients, now or later."""
        message = Message(topic, payload)
        if self._mqtt is None or len(self._outgoing) or not self._mqtt.publish(topic, payload):
            self._outgoing.add(message)

    async def room(self) -> None:
        """Wait while the broker is there and behind."""
        while self._mqtt is not None and (len(self._outgoing) or not self._mqtt.has_room):
            self._drained.clear()
            await self._drained.wait()

    def subscribe(self, pattern: str) -> None:
        """Put what is published on these topics into the inbox, from now on and after every connect."""
        self._filters[pattern] = None
        if self._mqtt is not None:
            self._mqtt.subscribe([pattern])

    def unsubscribe(self, pattern: str) -> None:
        """Undo `subscribe`."""
        self._filters.pop(pattern, None)
        if self._mqtt is not None:
            self._mqtt.unsubscribe(pattern)

    def _connection(self) -> Connection:
        if self._endpoint.version == "3.1.1":
            return Client(self._endpoint, self._inbox, self._drops, self._drain)
        from edgelab.edgecore.eventbus.mqtt import Mqtt  # noqa: PLC0415 - paho costs 3 MB

        return Mqtt(self._endpoint, self._inbox, self._drops, self._drain)

    async def _session(self, mqtt: Connection) -> str:
        mqtt.subscribe(self._filters)
        self._mqtt = mqtt
        self._drain()
        running = asyncio.create_task(mqtt.run(), name="eventbus/connection")
        try:
            return await running
        finally:
            self._mqtt = None
            self._drained.set()
            self._outgoing.put_back(mqtt.unacknowledged)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    def _drain(self) -> None:
        self._drained.set()
        while self._mqtt is not None and self._mqtt.has_room:
            message = self._outgoing.pop()
            if message is None:
                return
            self._mqtt.publish(message.topic, message.payload)


def external(
    config: settings.EventBus, extra: settings.Mqtt, inbox: Inbox, clock: Clock, drops: Drops
) -> External:
    """The link that the settings describe. Raises Fatal for what cannot work."""
    where = address("mqttServerExternal", config.mqttServerExternal)
    tls = client_tls(config.eventBusTLS, encrypted=where.encrypted)
    endpoint = Endpoint(
        host=where.host,
        port=where.port,
        client_id=config.mqttSubClientID or f"hub-client-sub-{str(time.time_ns() // 1_000_000)[:10]}",
        username=config.mqttUsername,
        password=config.mqttPassword,
        tls=tls.context if tls else None,
        version=extra.externalVersion,
        largest=extra.maximumPacketSize,
    )
    return External(endpoint, tls, inbox, clock, drops)
