"""Forgetting old revisions, from time to time and in slices: the same thread commits what others write."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from edgelab.daemon.clock import Clock
from edgelab.edgesite.store.disk import Disk
from edgelab.edgesite.store.retention import History, Retention

log = logging.getLogger("edgesite.store")

COMPACTION_SECONDS = 30.0
COMPACTION_ROWS = 500
VACUUM_PAGES = 256
Forgotten = Callable[[int], None]


class OnThread(Protocol):
    """Runs something on the thread that owns the disk."""

    def __call__(self, work: Callable[[], Any], /) -> Awaitable[Any]:
        """Its result."""
        ...


class Compactor:
    """Keeps as much history as the limits allow. `forgotten` hears of every new floor."""

    def __init__(
        self, disk: Disk, on_thread: OnThread, clock: Clock, history: History, forgotten: Forgotten
    ) -> None:
        self._disk = disk
        self._on_thread = on_thread
        self._clock = clock
        self._forgotten = forgotten
        self._revision = disk.revision
        self._retention = Retention(history, clock, self._revision)
        self._crowded = asyncio.Event()

    def committed(self, revision: int, size: int) -> None:
        """Hear of a batch."""
        self._revision = revision
        if self._retention.add(revision, size):
            self._crowded.set()

    async def compact(self, revision: int) -> None:
        """Forget the states before a revision. Raises sqlite3.Error."""
        looked_at = COMPACTION_ROWS
        while looked_at == COMPACTION_ROWS:
            looked_at = await self._on_thread(lambda: self._disk.compact(revision, COMPACTION_ROWS))
        while await self._on_thread(lambda: self._disk.shrink(VACUUM_PAGES)):
            pass
        self._forgotten(revision)

    async def run(self) -> None:
        """Look from time to time, and at once when there are too many bytes of history."""
        while True:
            await self._crowded_or_late()
            boundary = self._retention.boundary(self._revision)
            try:
                if boundary:
                    await self.compact(boundary)
            except sqlite3.Error as error:
                log.error("the disk refused to forget old revisions, trying again later: %s", error)

    async def _crowded_or_late(self) -> None:
        late = asyncio.ensure_future(self._clock.sleep(COMPACTION_SECONDS))
        crowded = asyncio.ensure_future(self._crowded.wait())
        try:
            await asyncio.wait((late, crowded), return_when=asyncio.FIRST_COMPLETED)
        finally:
            late.cancel()
            crowded.cancel()
        self._crowded.clear()
