"""One tunnel that stands: frames of the cloud to their connections, and back."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from edgelab.daemon.clock import Clock
from edgelab.daemon.flow import Overrun
from edgelab.daemon.tasks import Supervisor
from edgelab.edgecore.edgehub.link import Disconnected
from edgelab.edgecore.edgestream.relay import Relay
from edgelab.edgecore.kubelet import Kubelet
from edgelab.protocol.tunnel import (
    CONNECTS,
    PING,
    PING_SECONDS,
    Frame,
    Kind,
    Malformed,
    credit,
    decode,
    encode,
    read_connect,
)

log = logging.getLogger(__name__)

MOST = 1000
"""Connections at a time; one more is ended at once."""
STALL_SECONDS = 10.0
"""A cloud without credits can be held up only as a whole: for so long, then the connection that takes nothing
is ended instead."""


class Connection(Protocol):
    """The WebSocket."""

    def ping(self, data: bytes) -> None:
        """Send a ping."""
        ...

    def abort(self) -> None:
        """Drop the connection."""
        ...

    async def send(self, frame: bytes) -> None:
        """Send one message. Raises Disconnected."""
        ...

    async def receive(self) -> bytes:
        """The next message. Raises Disconnected."""
        ...


class Closed(Exception):
    """The cloud closes the tunnel; `str()` says why."""


class Tunnel:
    """`run` serves until the connection ends; nothing of it stays then."""

    def __init__(self, connection: Connection, kubelet: Kubelet, clock: Clock, *, extended: bool) -> None:
        self._connection = connection
        self._kubelet = kubelet
        self._clock = clock
        self._extended = extended
        self._sending = asyncio.Lock()
        self._tasks = Supervisor("edgestream")
        self.relays: dict[int, Relay] = {}

    async def run(self) -> None:
        """Serve. Raises Disconnected, Closed."""
        self._tasks.spawn(self._ping(), "ping")
        try:
            while True:
                try:
                    await self._take(decode(await self._connection.receive()))
                except Malformed as error:
                    log.warning("a frame of the cloud is passed over: %s", error)
        finally:
            for relay in self.relays.values():
                relay.end()
            await self._tasks.close()

    async def _ping(self) -> None:
        while True:
            await self._clock.sleep(PING_SECONDS)
            self._connection.ping(PING)

    async def _take(self, frame: Frame) -> None:
        if frame.kind == Kind.CLOSE:
            raise Closed(frame.data.decode(errors="replace")[:500] or "without a reason")
        if frame.kind in CONNECTS:
            await self._open(frame)
            return
        relay = self.relays.get(frame.connection)
        if relay is None:  # it has ended here already, and the cloud does not know yet
            return
        if frame.kind == Kind.DATA:
            await self._deliver(relay, frame.data)
        elif frame.kind == Kind.REMOVE:
            relay.end()
        elif frame.kind == Kind.CREDIT:
            relay.room.add(credit(frame.data))

    async def _deliver(self, relay: Relay, data: bytes) -> None:
        patience = 0.0 if self._extended else STALL_SECONDS  # it was told how much there is room for
        try:
            await relay.inbox.push(data, patience)
        except Overrun:
            log.warning("a connection of the cloud is ended: what it sends is not taken")
            relay.end()

    async def _open(self, frame: Frame) -> None:
        connect = read_connect(frame.data)
        if frame.connection in self.relays or len(self.relays) >= MOST:
            log.warning("connection %d of the cloud is refused: %d are open", frame.connection, MOST)
            await self._send(frame.connection, Kind.REMOVE, b"")
            return
        connect.MessID = frame.connection
        relay = Relay(frame.kind, connect, self._kubelet, self._send, extended=self._extended)
        self.relays[frame.connection] = relay
        self._tasks.spawn(self._work(frame.connection, relay), f"connection/{frame.connection}")

    async def _work(self, connection: int, relay: Relay) -> None:
        try:
            await relay.run()
        except Disconnected:
            pass  # whoever reads has noticed it, too
        finally:
            del self.relays[connection]

    async def _send(self, connection: int, kind: int, data: bytes) -> None:
        try:
            async with self._sending:
                await self._connection.send(encode(connection, kind, data))
        except Disconnected:
            self._connection.abort()
            raise
