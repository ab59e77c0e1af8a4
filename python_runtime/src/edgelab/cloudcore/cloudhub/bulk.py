"""What users send to one node: one message at a time, behind everything that keeps the node going.

A message of several MiB takes the connection for a moment; objects, answers and acknowledgements that wait
meanwhile go before the next one. Whoever posts a message hears when it is written to the connection, or that
the connection ended before.
"""

from __future__ import annotations

import asyncio
from collections import deque

from edgelab.protocol.message import Message

MOST = 1024
LARGEST = 64 << 20
"""Messages and bytes that may wait for a node; one more is refused."""


class Full(Exception):
    """Too much waits for the node already."""


class Parcel:
    """One message under way. `sent` gives True once it is written, False when the session ended before.

    Whoever cancels `sent` takes the message back, unless it is being written.
    """

    __slots__ = ("message", "sent", "size")

    def __init__(self, message: Message, size: int) -> None:
        self.message = message
        self.size = size
        self.sent: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def done(self, *, written: bool = True) -> None:
        """It is written, or will not be."""
        if not self.sent.done():
            self.sent.set_result(written)


class Bulk:
    """The queue of one session."""

    __slots__ = ("_bytes", "_closed", "_current", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[Parcel] = deque()
        self._current: Parcel | None = None
        self._bytes = 0
        self._closed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: Message, size: int) -> Parcel:
        """Append. Raises Full."""
        if len(self._waiting) >= MOST or (self._waiting and self._bytes + size > LARGEST):
            raise Full
        parcel = Parcel(message, size)
        if self._closed:
            parcel.done(written=False)
            return parcel
        self._waiting.append(parcel)
        self._bytes += size
        return parcel

    def take(self) -> Parcel | None:
        """The next one that somebody still wants to be sent."""
        self._current = None
        while self._waiting:
            parcel = self._waiting.popleft()
            self._bytes -= parcel.size
            if not parcel.sent.cancelled():
                self._current = parcel
                return parcel
        return None

    def close(self) -> None:
        """The session has ended: whoever waits is told."""
        self._closed = True
        if self._current is not None:
            self._current.done(written=False)
        for parcel in self._waiting:
            parcel.done(written=False)
        self._waiting.clear()
        self._bytes, self._current = 0, None
