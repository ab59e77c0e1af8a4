"""What waits to be sent on one connection, for tasks: who brings too much waits until there is room."""

from __future__ import annotations

import asyncio

from edgelab.daemon.clock import Clock
from edgelab.edgecore.interfaces import Offline
from edgelab.protocol.message import Message
from edgelab.protocol.session.edge import EdgeSession
from edgelab.protocol.session.sending import BOUNDS, priority_of


class Outbox:
    """The queue of one session; `close` makes every waiting and later `put` raise Offline."""

    def __init__(self, session: EdgeSession, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self._room = {priority: asyncio.Semaphore(bound) for priority, bound in BOUNDS.items()}
        self._wake = asyncio.Event()
        self._closed = False

    async def put(self, message: Message) -> None:
        """Queue a message, waiting for room. Raises Offline."""
        room = self._room[priority_of(message)]
        await room.acquire()
        if self._closed:
            room.release()
            raise Offline("the connection to CloudCore was lost")
        self._session.send(message)
        self._wake.set()

    async def get(self) -> Message:
        """The next message that may be sent."""
        while True:
            now = self._clock.monotonic()
            message = self._session.next(now)
            if message is not None:
                if message.route.operation != "keepalive":  # which the session makes itself
                    self._room[priority_of(message)].release()
                return message
            self._wake.clear()
            try:
                async with asyncio.timeout(self._session.next_due(now) - now):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def close(self) -> None:
        """Drop what waits: senders repeat what still matters after the next connection."""
        self._closed = True
        for room in self._room.values():
            room.release()
