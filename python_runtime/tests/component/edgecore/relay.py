"""A way of datagrams between one edge and the cloud that a test can cut, or lead over another port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


class _Towards(asyncio.DatagramProtocol):
    """One socket: hands what comes to `take(data, sender)`."""

    def __init__(self, take: Any) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._take(data, addr)


class Relay:
    """Listens for the edge on a port of its own, and speaks to the cloud from another one."""

    def __init__(self, cloud: int) -> None:
        self._cloud = cloud
        self._edge: Any = None
        self._inner: Any = None
        self._outer: Any = None
        self.losing = False

    @property
    def port(self) -> int:
        return int(self._inner.get_extra_info("sockname")[1])

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._inner, _ = await loop.create_datagram_endpoint(
            lambda: _Towards(self._from_edge), local_addr=("127.0.0.1", 0)
        )
        await self.move()

    async def move(self) -> None:
        """Go on from another port, as a router does that has forgotten the old one."""
        older, loop = self._outer, asyncio.get_running_loop()
        self._outer, _ = await loop.create_datagram_endpoint(
            lambda: _Towards(self._from_cloud), remote_addr=("127.0.0.1", self._cloud)
        )
        if older is not None:
            older.close()

    def close(self) -> None:
        self._inner.close()
        self._outer.close()

    def _from_edge(self, data: bytes, addr: Any) -> None:
        self._edge = addr
        if not self.losing:
            self._outer.sendto(data)

    def _from_cloud(self, data: bytes, addr: Any) -> None:
        if not self.losing:
            self._inner.sendto(data, self._edge)


@asynccontextmanager
async def relaying(cloud: int) -> AsyncIterator[Relay]:
    relay = Relay(cloud)
    await relay.start()
    try:
        yield relay
    finally:
        relay.close()
