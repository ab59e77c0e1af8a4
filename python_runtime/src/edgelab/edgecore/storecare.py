"""Looks after the store: a good copy now and then, and whether it can be written again.

Receives nothing. Stores: the copy beside the database. A copy is made when something was committed since
the last one, a minute later at the earliest, at most once an hour, and for a large file more seldom: what
an SD card has to take stays below `BYTES_A_SECOND`. While nothing can be stored, it tries now and then.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from typing import NoReturn

from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Fatal
from edgelab.edgecore import rescue
from edgelab.edgecore.store import Store

log = logging.getLogger(__name__)

SETTLE, PERIOD = 60.0, 3600.0
"""Seconds from the first change to the copy, and between two copies."""

BYTES_A_SECOND = 1024
"""What copies may write, averaged: about 88 MB a day."""

LOOK = 10.0
"""Seconds between two looks at the store."""


class StoreCare:
    """The module."""

    name = "store"

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        age = rescue.age_of_copy(store.path, clock.now())
        self._copied = store.commits if age is not None and store.rescue is None else -1
        self._due = clock.monotonic() + max(0.0, PERIOD - (PERIOD if age is None else age))
        self._changed_at: float | None = None
        self._complaint = ""

    async def run(self) -> NoReturn:
        """Look for ever. Raises Fatal when the store is found damaged: the next start repairs it."""
        while True:
            await self._clock.sleep(LOOK)
            await self.look()

    async def look(self) -> None:
        """Do what is due now. Raises Fatal."""
        store = self._store
        if store.damaged:
            raise Fatal(f"{store.problem}; the next start repairs it")
        if store.problem:
            await store.probe()
            return
        if store.commits == self._copied:
            self._changed_at = None
            return
        now = self._clock.monotonic()
        if self._changed_at is None:
            self._changed_at = now
        if now >= max(self._changed_at + SETTLE, self._due):
            await self._copy()

    async def _copy(self) -> None:
        store, commits = self._store, self._store.commits
        try:
            await asyncio.to_thread(rescue.make_copy, store.path)
            await asyncio.to_thread(rescue.hold_reserve, store.path)
        except (OSError, sqlite3.Error) as error:
            if str(error) != self._complaint:
                log.warning("the store could not be copied: %s", error)
            self._complaint, size = str(error), 0
        else:
            self._complaint, size = "", store.path.stat().st_size
            self._copied, self._changed_at = commits, None
        self._due = self._clock.monotonic() + max(PERIOD, size / BYTES_A_SECOND)
