"""A connection that was switched to another protocol, read and written at the pace of both sides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from edgelab.edgesite.apiserver.relay.backend import HIGH

CHUNK = 32 << 10


class Link:
    """Owns the connection."""

    def __init__(self, transport: asyncio.Transport, early: bytes) -> None:
        loop = asyncio.get_running_loop()
        self._transport = transport
        self._reader = asyncio.StreamReader(limit=HIGH // 2, loop=loop)  # it holds up to twice as much
        protocol = asyncio.StreamReaderProtocol(self._reader, loop=loop)
        self._writer = asyncio.StreamWriter(transport, protocol, self._reader, loop)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if early:
            self._reader.feed_data(early)
        transport.resume_reading()

    async def chunks(self) -> AsyncIterator[bytes]:
        """What comes, until the end."""
        try:
            while data := await self._reader.read(CHUNK):
                yield data
        except OSError:
            return  # cut, which is an end as well

    async def write(self, data: bytes) -> None:
        """Send, and wait while the other side does not read. Raises OSError."""
        self._writer.write(data)
        await self._writer.drain()

    def close(self) -> None:
        """At once."""
        self._transport.abort()
