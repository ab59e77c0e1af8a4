"""What the two clients of external brokers have in common: ours for MQTT 3.1.1, paho's for MQTT 5."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

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


class Connection(Protocol):
    """One connection. `run` lasts until it is lost; received messages go to an inbox."""

    async def connect(self) -> None:
        """Connect and log in. Raises Unreachable with the reason."""
        ...

    async def run(self) -> str:
        """Keep the connection alive until it is lost; returns why."""
        ...

    def subscribe(self, filters: Iterable[str]) -> None:
        """Subscribe with QoS 1. A refusal is logged."""
        ...

    def unsubscribe(self, topic: str) -> None:
        """Unsubscribe."""
        ...

    @property
    def has_room(self) -> bool:
        """Whether the broker keeps up with what it is sent."""
        ...

    @property
    def unacknowledged(self) -> list[Message]:
        """What was published and perhaps did not get through."""
        ...

    def publish(self, topic: str, payload: bytes) -> bool:
        """Publish with QoS 1, not retained; False, and nothing done, when the broker does not keep up."""
        ...


def deliver(inbox: Inbox, drops: Drops, message: Message, size: int, largest: int) -> None:
    """Put a received message whose payload has `size` bytes into the inbox, unless it is too large.

    What is about a device goes on, cut: DeviceTwin answers it with the reason.
    """
    if size > largest and not message.topic.startswith(topics.DEVICE):
        drops.count(f"a message on {message.topic[:200]!r} is refused, larger than {largest} bytes")
    else:
        inbox.put(message.topic, message.payload[: largest + 1])
