"""A publisher for load, of bare packets: the client shall cost less than what it measures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.edgecore.eventbus.raw_client import RawClient, raw_client

from edgelab.edgecore.eventbus.broker import packets
from edgelab.edgecore.eventbus.broker.packets import Message


class Publisher:
    """One connection; `publish` returns at once, and acknowledgements are read and forgotten."""

    def __init__(self, client: RawClient) -> None:
        self._client = client
        self._number = 0

    def publish(self, topic: str, payload: bytes) -> None:
        """With QoS 1."""
        self._number = self._number % 65535 + 1
        self._client.send(packets.packet(Message(topic, payload), 1, self._number))

    async def drain(self) -> None:
        """Wait until the broker takes more."""
        await self._client.writer.drain()


@asynccontextmanager
async def publisher(port: int, name: str) -> AsyncIterator[Publisher]:
    """A client of the broker at a port of loopback."""
    async with raw_client(port, name, keepalive="0") as client:
        forget = asyncio.create_task(_forget(client.reader), name="publisher/acknowledgements")
        try:
            yield Publisher(client)
        finally:
            forget.cancel()


async def _forget(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass
