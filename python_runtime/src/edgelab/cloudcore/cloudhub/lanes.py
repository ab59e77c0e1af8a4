"""Messages of one node: in order for one resource, side by side for different ones."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from edgelab.daemon.tasks import Supervisor
from edgelab.protocol.message import Message

log = logging.getLogger("edgelab.cloudcore.lanes")

LIMIT = 128
"""Messages of one node that are being treated or wait for their turn; beyond, its connection is not read."""


class Lanes:
    """Runs `work(message)` for every submitted message. `failed(message, error)` hears of defects and tells
    whether a traceback is wanted."""

    def __init__(
        self,
        name: str,
        work: Callable[[Message], Awaitable[None]],
        failed: Callable[[Message, Exception], bool] = lambda message, error: True,
    ) -> None:
        self._work = work
        self._failed = failed
        self._owner = Supervisor(name)
        self._waiting: dict[str, deque[Message]] = {}
        self._room = asyncio.Semaphore(LIMIT)

    async def submit(self, message: Message) -> None:
        """Queue a message; waits while there is no room."""
        await self._room.acquire()
        lane = message.route.resource
        if lane in self._waiting:
            self._waiting[lane].append(message)
            return
        self._waiting[lane] = deque([message])
        self._owner.spawn(self._drain(lane), lane)

    async def close(self) -> None:
        """Drop what is not done."""
        await self._owner.close()

    async def _drain(self, lane: str) -> None:
        queue = self._waiting[lane]
        try:
            while queue:
                message = queue.popleft()
                try:
                    await self._work(message)
                except Exception as error:  # one message that trips us must not cost the node its session
                    if self._failed(message, error):
                        log.exception("a message for %s could not be treated", lane)
                finally:
                    self._room.release()
        finally:
            del self._waiting[lane]
