"""What the two clients of external brokers have in common: ours for MQTT 3.1.1, paho's for MQTT 5."""

from __future__ import annotations

import asyncio
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from edgelab.edgecore.eventbus.broker.packets import Message
from edgelab.edgecore.eventbus.drops import Drops
from edgelab.edgecore.eventbus.inbox import Inbox
from edgelab.protocol import topics

KEEPALIVE = 30
CONNECT_TIMEOUT = 5.0

HEADER = 2048
"""Bytes of a packet besides its payload, generously."""

UNDER_WAY = 100
"""Published messages that the broker may still have to acknowledge."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the broker is and who we are there."""

    host: str
    port: int
    client_id: str
    username: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None
    version: str = "3.1.1"
    largest: int = 256 * 1024
    """Bytes of payload that are taken from the broker."""


class Connection(ABC):
    """One connection. `run` lasts until it is lost; received messages go to the inbox.

    `on_room` is called when `has_room` becomes true.
    """

    def __init__(
        self, endpoint: Endpoint, inbox: Inbox, drops: Drops, on_room: Callable[[], None] = lambda: None
    ) -> None:
        self._endpoint = endpoint
        self._inbox = inbox
        self._drops = drops
        self._on_room = on_room
        self._loop = asyncio.get_running_loop()
        self._lost: asyncio.Future[str] = self._loop.create_future()
        self._accepted: asyncio.Future[None] = self._loop.create_future()
        self._under_way: dict[int, Message] = {}

    @abstractmethod
    async def connect(self) -> None:
        """Connect and log in. Raises Unreachable with the reason."""

    @abstractmethod
    async def run(self) -> str:
        """Keep the connection alive until it is lost; returns why."""

    @abstractmethod
    def subscribe(self, filters: Iterable[str]) -> None:
        """Subscribe with QoS 1. A refusal is logged."""

    @abstractmethod
    def unsubscribe(self, topic: str) -> None:
        """Unsubscribe."""

    @abstractmethod
    def publish(self, topic: str, payload: bytes) -> bool:
        """Publish with QoS 1, not retained; False, and nothing done, when the broker does not keep up."""

    @property
    def has_room(self) -> bool:
        """Whether the broker keeps up with what it is sent."""
        return len(self._under_way) < UNDER_WAY and not self._lost.done()

    @property
    def unacknowledged(self) -> list[Message]:
        """What was published and perhaps did not get through."""
        return list(self._under_way.values())

    def _acknowledged(self, number: int) -> Message | None:
        """The broker has taken a message; whoever waits for room is told in a turn of its own."""
        message = self._under_way.pop(number, None)
        if len(self._under_way) == UNDER_WAY // 2:
            self._loop.call_soon(self._on_room)
        return message

    def _end(self, why: str) -> None:
        if not self._lost.done():
            self._lost.set_result(why)


def deliver(inbox: Inbox, drops: Drops, message: Message, size: int, largest: int) -> None:
    """Put a received message whose payload has `size` bytes into the inbox, unless it is too large.

    What is about a device goes on, cut: DeviceTwin answers it with the reason.
    """
    if size > largest and not message.topic.startswith(topics.DEVICE):
        drops.count(f"a message on {message.topic[:200]!r} is refused, larger than {largest} bytes")
    else:
        inbox.put(message.topic, message.payload[: largest + 1])
