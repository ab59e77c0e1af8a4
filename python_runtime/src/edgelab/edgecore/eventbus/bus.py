"""EventBus (KubeEdge `edge/pkg/eventbus`): MQTT on the node, over one broker or two.

Receives: what programs on the node publish on the topics it subscribes to; the cloud router's wishes
(group `user`). Sends: device topics to DeviceTwin, everything else to the cloud's router. Stores: topics
that the router asked for. Without the broker: tries again for ever, what would be published waits
(`outgoing`). Without the cloud: uploads are dropped. When DeviceTwin or EdgeHub is slow, nothing more is
read from MQTT.

The original opens two connections to an external broker, one for each direction; one serves both and
half the memory.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from typing import NoReturn, Protocol

import msgspec

from edgelab.daemon.clock import Clock
from edgelab.edgecore.eventbus import drops, names
from edgelab.edgecore.eventbus.drops import Drops
from edgelab.edgecore.eventbus.inbox import Inbox
from edgelab.edgecore.interfaces import Hub, Offline
from edgelab.edgecore.store import Statement, Store
from edgelab.protocol import message as wire
from edgelab.protocol import topics
from edgelab.protocol.content.users import BASE64, BINARY
from edgelab.protocol.message import Message
from edgelab.settings import edgecore as settings

log = logging.getLogger(__name__)

FromDevice = Callable[[str, bytes], Awaitable[None]]
AUTH_INFO = "authInfo/get/result"
PATIENCE = 1.0
"""Seconds that a message of the cloud waits for a broker that is behind; nothing else is read meanwhile."""


class Link(Protocol):
    """A broker as EventBus sees it."""

    name: str

    async def run(self) -> NoReturn:
        """Work until cancelled."""
        ...

    def publish(self, topic: str, payload: bytes) -> None:
        """Tell MQTT clients."""
        ...

    async def room(self) -> None:
        """Wait while a broker that is there is behind."""
        ...

    def subscribe(self, pattern: str) -> None:
        """Put what is published on these topics into the inbox."""
        ...

    def unsubscribe(self, pattern: str) -> None:
        """Undo `subscribe`."""
        ...


class EventBus:
    """The module."""

    name = "eventbus"

    def __init__(
        self,
        config: settings.EventBus,
        extra: settings.Mqtt,
        store: Store,
        hub: Hub,
        clock: Clock,
        *,
        node: str,
        on_device: FromDevice | None,
    ) -> None:
        self._store = store
        self._hub = hub
        self._clock = clock
        self._node = node
        self._on_device = on_device
        self._inbox = Inbox()
        self._drops = Drops(clock)
        self._binary: set[str] = set()
        self._is_behind = False
        self._links = links(config, extra, self._inbox, clock, self._drops)

    async def run(self) -> None:
        """Connect and listen, and hand on what arrives."""
        stored = [str(row[0]) for row in self._store.read("SELECT topic FROM sub_topics")]
        for pattern in (*topics.SUBSCRIPTIONS, *stored):
            self._subscribe(pattern)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._forward(), name="eventbus/forward")
            group.create_task(self._tell_drops(), name="eventbus/drops")
            for link in self._links:
                group.create_task(link.run(), name=f"eventbus/{link.name}")

    def publish(self, topic: str, payload: bytes) -> None:
        """Tell MQTT clients."""
        if problem := names.name_problem(topic):
            log.warning("nothing can be published on %r: %s", topic[:200], problem)
            return
        for link in self._links:
            link.publish(topic, payload)

    async def receive(self, message: Message) -> None:
        """Do what the cloud's router asks."""
        topic, operation = message.route.resource, message.route.operation
        match operation:
            case "subscribe":
                self._note_binary(topic, message)
                if self._subscribe(topic):
                    await self._keep(("INSERT OR IGNORE INTO sub_topics (topic) VALUES (?)", (topic,)))
            case "unsubscribe":
                self._binary.discard(topic)
                await self._keep(("DELETE FROM sub_topics WHERE topic = ?", (topic,)))
                if topic not in topics.SUBSCRIPTIONS:
                    for link in self._links:
                        link.unsubscribe(topic)
            case "publish":
                await self._room()
                self.publish(topic, _payload(message))
            case "message":
                inner = message.object().get("message") or {}
                self.publish(str(inner.get("topic") or ""), msgspec.json.encode(inner))
            case "get_result" if topic == "auth_info":
                self.publish(topics.of_node(self._node, AUTH_INFO), msgspec.json.encode(message.value()))
            case _:
                log.warning("EventBus has no operation %r of %r", operation, topic)

    async def _room(self) -> None:
        """Wait a moment for a broker that is there and does not keep up, rather than lose something; once for
        one that does not catch up, as nothing of the cloud is read meanwhile."""
        try:
            async with asyncio.timeout(0 if self._is_behind else PATIENCE):
                for link in self._links:
                    await link.room()
        except TimeoutError:
            self._is_behind = True
        else:
            self._is_behind = False

    def _note_binary(self, topic: str, message: Message) -> None:
        """Whether the router takes bytes of this topic that are no text; the original does not."""
        value = message.value()
        if isinstance(value, dict) and value.get(BINARY) is True:
            self._binary.add(topic)
        else:
            self._binary.discard(topic)

    def _subscribe(self, pattern: str) -> bool:
        if problem := names.filter_problem(pattern):
            log.warning("%r cannot be subscribed to, as the cloud wants: %s", pattern[:200], problem)
            return False
        for link in self._links:
            link.subscribe(pattern)
        return True

    async def _keep(self, statement: Statement) -> None:
        """Remember a topic; a store that takes nothing costs it at the next start, not now."""
        try:
            await self._store.submit([statement])
        except sqlite3.Error as error:
            level = logging.DEBUG if self._store.problem else logging.ERROR
            log.log(level, "topic %s is not stored: %s", statement[1][0], error)

    async def _forward(self) -> NoReturn:
        while True:
            topic, payload = await self._inbox.get()
            if not topic.startswith((topics.DEVICE, topics.NODE)):
                await self._upload(topic, payload)
            elif self._on_device is not None:
                await self._on_device(topic, payload)

    async def _upload(self, topic: str, payload: bytes) -> None:
        upload = wire.new(source="bus", group="user", operation="upload", resource=topic)
        try:
            upload.content = wire.raw(payload.decode())
        except UnicodeDecodeError:
            if topic in self._binary:
                upload.header.type = BASE64
                upload.content = wire.raw(base64.b64encode(payload).decode())
            else:
                upload.content = wire.raw(payload.decode("utf-8", "replace"))
        try:
            await self._hub.send(upload)
        except Offline:
            self._drops.count("a message for the cloud is lost, there is no connection")

    async def _tell_drops(self) -> NoReturn:
        while True:
            await self._clock.sleep(drops.EVERY)
            self._drops.tell()


def links(
    config: settings.EventBus, extra: settings.Mqtt, inbox: Inbox, clock: Clock, counted: Drops
) -> list[Link]:
    """The brokers of `mqttMode`; what a mode does not need is not imported. Raises Fatal."""
    found: list[Link] = []
    if config.mqttMode in (0, 1):
        from edgelab.edgecore.eventbus.internal import internal  # noqa: PLC0415 - only when needed

        found.append(internal(config, extra, inbox, clock, counted))
    if config.mqttMode in (1, 2):
        from edgelab.edgecore.eventbus.external import external  # noqa: PLC0415 - only when needed

        found.append(external(config, extra, inbox, clock, counted))
    return found


def _payload(message: Message) -> bytes:
    """What is to be published. Raises ValueError for what no base64 is."""
    if message.header.type != BASE64:
        return message.data()
    return base64.b64decode(str(message.value()), validate=True)
