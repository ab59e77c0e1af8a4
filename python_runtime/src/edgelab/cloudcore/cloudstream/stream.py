"""One connection inside a tunnel, as whoever asked for it sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from edgelab.daemon.flow import Allowance, Ended, Inbox
from edgelab.protocol.tunnel import CHUNK, DATA_LIMIT, WINDOW, Head, Kind, uvarint

Send = Callable[[int, int, bytes], Awaitable[None]]
"""Sends a frame: connection, kind, data. Raises Cut."""


class Cut(Exception):
    """The tunnel is gone; the text says why."""


class Stream:
    """`receive` gives what the node sends, `send` takes what it shall get; `close` must be called.

    `extended`: the node is ours, so it gives CREDIT and a HEAD, and wants CREDIT.
    """

    def __init__(self, number: int, node: str, emit: Send, *, extended: bool) -> None:
        self.number = number
        self.node = node
        self.extended = extended
        self.inbox = Inbox(WINDOW if extended else DATA_LIMIT)
        self.room = Allowance(WINDOW if extended else None)
        self.head: asyncio.Future[Head] = asyncio.get_running_loop().create_future()
        self.is_ended = False
        self._emit = emit
        self._owed = 0

    async def receive(self) -> bytes:
        """Some bytes; none when the node has ended it. Raises Cut."""
        if self._owed >= WINDOW // 2:
            await self._grant()
        try:
            data = await self.inbox.get()
        except Ended as ended:
            if str(ended):
                raise Cut(str(ended)) from None
            return b""
        self._owed += len(data)
        return data

    async def _grant(self) -> None:
        if self.extended and not self.is_ended:
            owed, self._owed = self._owed, 0
            await self._emit(self.number, Kind.CREDIT, uvarint(owed))

    async def send(self, data: bytes) -> None:
        """Send data in frames, each when the node has room for it. Raises Cut."""
        start = 0
        while start < len(data):
            try:
                size = await self.room.take(min(CHUNK, len(data) - start))
            except Ended as ended:
                raise Cut(str(ended) or f"node {self.node} takes no more") from None
            await self._emit(self.number, Kind.DATA, data[start : start + size])
            start += size

    def end(self, why: str = "") -> None:
        """Nothing more will come: the node has ended it, or with `why` the tunnel is gone."""
        self.is_ended = True
        self.inbox.end(why)
        self.room.end(why)
        if not self.head.done():
            self.head.cancel()
