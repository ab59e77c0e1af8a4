"""What each open page is told, and the bounds on it.

A client has one pending row for each key, the newest: what changes ten times while a slow link takes one
message is sent once. When more than `MOST_PENDING` keys wait, the client gets the whole board instead. So a
client costs that many references at most, however slow it is; rows themselves exist once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from edgelab.console.board import Board, Key
from edgelab.console.health import Health

MOST_PENDING = 500


class Full(Exception):
    """As many clients as are allowed are there already."""


class Client:
    """One open page: what it has not been sent yet."""

    def __init__(self, board: Board, health: Health) -> None:
        self._board = board
        self._health = health
        self._whole = True
        self._news = False
        self._pending: dict[Key, msgspec.Raw | None] = {}
        self._filled = asyncio.Event()
        self._filled.set()

    @property
    def pending(self) -> int:
        """Rows that wait."""
        return len(self._pending)

    def put(self, key: Key, row: msgspec.Raw | None) -> None:
        """A row that changed."""
        if not self._whole:
            self._pending[key] = row
            if len(self._pending) > MOST_PENDING:
                self._whole = True
                self._pending = {}
        self._filled.set()

    def troubled(self) -> None:
        """The state of what is read from changed."""
        self._news = True
        self._filled.set()

    async def wait(self) -> None:
        """Until there is something to send."""
        await self._filled.wait()

    def take(self) -> bytes:
        """All that waits, as one event; empty when nothing does."""
        whole, rows, news = self._whole, self._pending, self._news
        self._whole, self._pending, self._news = False, {}, False
        self._filled.clear()
        if whole:
            return event("board", {"rows": self._board.rows(), "health": self._health.state()})
        changes = [(kind, name, row) for (kind, name), row in rows.items()]
        data: dict[str, Any] = {"rows": changes} if changes else {}
        if news:
            data["health"] = self._health.state()
        return event("change", data) if data else b""


class Feed:
    """All clients."""

    def __init__(self, board: Board, health: Health, most: int) -> None:
        self._board = board
        self._health = health
        self._most = most
        self._clients: set[Client] = set()

    @property
    def clients(self) -> int:
        """How many pages are open."""
        return len(self._clients)

    @contextmanager
    def subscribed(self) -> Iterator[Client]:
        """A client for as long as the block lasts. Raises Full."""
        if len(self._clients) >= self._most:
            raise Full
        client = Client(self._board, self._health)
        self._clients.add(client)
        self._board.listen(client.put)
        self._health.listen(client.troubled)
        try:
            yield client
        finally:
            self._health.forget(client.troubled)
            self._board.forget(client.put)
            self._clients.discard(client)


def event(name: str, data: Any) -> bytes:
    """One server-sent event (WHATWG HTML, 9.2.5); JSON has no line breaks of its own."""
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"
