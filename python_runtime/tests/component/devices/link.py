"""A way between edge and cloud that can be cut: nothing passes and nobody is told, as on a dead line."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Link:
    """Listens on `port` for the edge, and connects to the cloud on loopback."""

    def __init__(self, cloud: int) -> None:
        self.port = 0
        self._cloud = cloud
        self._whole = asyncio.Event()
        self._whole.set()
        self._ends: set[asyncio.StreamWriter] = set()

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Link]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self._drop()

    def cut(self) -> None:
        """From now on nothing passes."""
        self._whole.clear()

    def heal(self) -> None:
        """New connections pass; those of before the cut are gone."""
        self._drop()
        self._whole.set()

    def _drop(self) -> None:
        for end in list(self._ends):
            end.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        try:
            await self._whole.wait()
            there, away = await asyncio.open_connection("127.0.0.1", self._cloud)
            self._ends.add(away)
            await asyncio.gather(self._carry(reader, away), self._carry(there, writer))
            self._ends.discard(away)
        except OSError:
            pass  # the cloud is away, or an end has hung up
        finally:
            self._ends.discard(writer)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                await self._whole.wait()
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()
