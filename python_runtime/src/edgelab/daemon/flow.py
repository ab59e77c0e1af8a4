"""Flow control of streams that share one connection: what waits is bounded, and a sender can be held up."""

from __future__ import annotations

import asyncio
from collections import deque


class Ended(Exception):
    """The stream is over; `str()` says why, and is empty for an end in good order."""


class Overrun(Exception):
    """The other side sent more than it was allowed to."""


class Inbox:
    """Bytes that came and wait to be taken: one reader, and a writer that need not wait."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chunks: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._taken = asyncio.Event()
        self._end: str | None = None
        self.size = 0

    def put(self, data: bytes) -> None:
        """Keep what came; after the end it is dropped. Raises Overrun, then nothing is kept."""
        if self._end is not None or not data:
            return
        if self.size + len(data) > self._limit:
            raise Overrun
        self._chunks.append(data)
        self.size += len(data)
        self._news.set()

    async def push(self, data: bytes, patience: float) -> None:
        """Keep what came; for a reader that is behind `patience` seconds are waited. Raises Overrun."""
        try:
            self.put(data)
        except Overrun:
            if patience <= 0:
                raise
            try:
                async with asyncio.timeout(patience):
                    await self.emptied()
            except TimeoutError:
                raise Overrun from None
            self.put(data)

    def end(self, why: str = "") -> None:
        """Nothing more will come. What is here can be taken still, unless there is a reason `why`."""
        if self._end is None:
            self._end = why
        if why:
            self._chunks.clear()
            self.size = 0
        self._news.set()
        self._taken.set()

    async def get(self) -> bytes:
        """All that is here. Raises Ended."""
        while not self._chunks:
            if self._end is not None:
                raise Ended(self._end)
            self._news.clear()
            await self._news.wait()
        data = b"".join(self._chunks) if len(self._chunks) > 1 else self._chunks[0]
        self._chunks.clear()
        self.size = 0
        self._taken.set()
        return data

    async def emptied(self) -> None:
        """Wait until the reader has taken all that is here, or nothing more is kept."""
        while self._chunks and self._end is None:
            self._taken.clear()
            await self._taken.wait()


class Allowance:
    """How many bytes may be sent; None is no bound."""

    def __init__(self, left: int | None) -> None:
        self._left = left
        self._more = asyncio.Event()
        self._end: str | None = None

    def add(self, size: int) -> None:
        """The other side has taken `size` bytes."""
        if self._left is not None:
            self._left += size
            self._more.set()

    def end(self, why: str = "") -> None:
        """Nobody will take any more."""
        self._end = self._end or why
        self._more.set()

    async def take(self, wanted: int) -> int:
        """How many of `wanted` bytes may go now, one at least. Raises Ended."""
        while self._end is None and self._left is not None and self._left <= 0:
            self._more.clear()
            await self._more.wait()
        if self._end is not None:
            raise Ended(self._end)
        if self._left is None:
            return wanted
        size = min(wanted, self._left)
        self._left -= size
        return size
