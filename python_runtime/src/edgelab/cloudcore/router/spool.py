"""Messages that are kept on the disk until their node connects: one SQLite file, written by one thread.

An answer leaves only after the message is on the disk (`synchronous=FULL`). Bound: `limit` bytes of bodies;
one more is refused with 503, nothing that was accepted gives way. A message is deleted after it was written
to the node's connection, so that a crash between the two repeats it.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from edgelab.cloudcore.router.errors import RETRY_SECONDS, Undeliverable
from edgelab.kube.informer import Key

T = TypeVar("T")
FILE = "router-spool.db"
TABLE = (
    "CREATE TABLE IF NOT EXISTS spool (id integer PRIMARY KEY AUTOINCREMENT, node text NOT NULL,"
    " namespace text NOT NULL, rule text NOT NULL, topic text NOT NULL, body blob NOT NULL)"
)
INDEX = "CREATE INDEX IF NOT EXISTS spool_node ON spool (node, id)"


class Kept(NamedTuple):
    """One message."""

    number: int
    node: str
    rule: Key
    topic: str
    body: bytes


class Spool:
    """The file, opened with the first message or when it exists already."""

    def __init__(self, directory: Path, limit: int) -> None:
        self._path = directory / FILE
        self._limit = limit
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="router-spool")
        self._database: sqlite3.Connection | None = None
        self._counts: dict[str, Counter[Key]] = {}
        self._bytes = 0
        self._opened = asyncio.Event()
        self.trouble = ""
        """Why the file cannot be used; empty while it can."""

    async def open(self) -> None:
        """Count what an earlier process kept."""
        if self._path.exists():
            try:
                await self._in_thread(self._load)
            except sqlite3.Error as error:
                self.trouble = str(error)
        self._opened.set()

    async def counted(self) -> None:
        """Wait until it is known what an earlier process kept: that goes before, and takes of the room."""
        await self._opened.wait()

    async def close(self) -> None:
        """Close the file."""
        await self._in_thread(self._close)
        self._thread.shutdown()

    @property
    def size(self) -> int:
        """Bytes of bodies that are kept."""
        return self._bytes

    def __len__(self) -> int:
        return sum(counts.total() for counts in self._counts.values())

    def holds(self, node: str, rule: Key | None = None) -> bool:
        """Whether something waits for the node, of one rule or of any."""
        counts = self._counts.get(node)
        return counts is not None and (rule is None or counts[rule] > 0)

    def nodes(self) -> list[str]:
        """The nodes for which something waits."""
        return list(self._counts)

    async def keep(self, node: str, rule: Key, topic: str, body: bytes) -> None:
        """Store a message. Raises Undeliverable."""
        await self.counted()
        if self._bytes + len(body) > self._limit:
            text = f"node {node} is away, and the router's spool is full ({self._limit} bytes)"
            raise Undeliverable(503, text, retry_after=RETRY_SECONDS)
        self._note(node, rule, len(body), 1)
        try:
            await self._in_thread(lambda: self._insert(node, rule, topic, body))
        except (sqlite3.Error, OSError) as error:
            self._note(node, rule, -len(body), -1)
            text = f"node {node} is away, and the router's spool cannot be written: {error}"
            raise Undeliverable(503, text, retry_after=RETRY_SECONDS) from None

    async def oldest(self, node: str) -> Kept | None:
        """What was kept first for a node. None, too, when the file cannot be read: see `trouble`."""
        if not self.holds(node):
            return None
        try:
            found = await self._in_thread(lambda: self._select(node))
        except sqlite3.Error as error:
            self.trouble = str(error)
            return None
        self.trouble = ""
        return found

    async def forget(self, kept: Kept) -> None:
        """It was sent, or its rule is gone."""
        try:
            await self._in_thread(lambda: self._delete(kept.number))
        except sqlite3.Error as error:
            self.trouble = str(error)
            raise Undeliverable(503, f"the router's spool cannot be written: {error}") from None
        self._note(kept.node, kept.rule, -len(kept.body), -1)

    def _note(self, node: str, rule: Key, size: int, number: int) -> None:
        self._bytes += size
        counts = self._counts.setdefault(node, Counter())
        counts[rule] += number
        if counts[rule] <= 0:
            del counts[rule]
        if not counts:
            del self._counts[node]

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # in the thread

    def _connection(self) -> sqlite3.Connection:
        if self._database is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            database = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=FULL")
            database.execute(TABLE)
            database.execute(INDEX)
            self._database = database
        return self._database

    def _load(self) -> None:
        rows = self._connection().execute(
            "SELECT node, namespace, rule, count(*), sum(length(body)) FROM spool GROUP BY 1, 2, 3"
        )
        for node, namespace, rule, number, size in rows.fetchall():
            self._note(node, (namespace, rule), size, number)

    def _insert(self, node: str, rule: Key, topic: str, body: bytes) -> None:
        sql = "INSERT INTO spool (node, namespace, rule, topic, body) VALUES (?, ?, ?, ?, ?)"
        self._connection().execute(sql, (node, *rule, topic, body))

    def _select(self, node: str) -> Kept | None:
        sql = "SELECT id, namespace, rule, topic, body FROM spool WHERE node = ? ORDER BY id LIMIT 1"
        row = self._connection().execute(sql, (node,)).fetchone()
        return None if row is None else Kept(row[0], node, (row[1], row[2]), row[3], bytes(row[4]))

    def _delete(self, number: int) -> None:
        self._connection().execute("DELETE FROM spool WHERE id = ?", (number,))

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
