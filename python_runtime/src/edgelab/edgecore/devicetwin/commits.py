"""Storing what changes: one transaction at a time, with the newest row of each thing that changed meanwhile.

What is done after a commit happens in the order in which it was asked for. A flood of updates of the same
properties costs as many rows as there are properties, however fast it is.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from edgelab.daemon.clock import Clock
from edgelab.edgecore.store import Statement, Store

log = logging.getLogger(__name__)

UNDER_WAY = 1024
"""Changes that may wait for their commit; then `room` waits."""
ATTEMPTS = 5
BREATH = 64
"""Changes that are followed up before others may run."""

Write = Callable[[], Sequence[Statement]]
"""Gives the statements that make a row what it is; asked only of what is stored, not of what is replaced."""

Rows = Mapping[tuple[str, str], Write]
"""Rows by their owner and their name."""


class Commits:
    """Owned by DeviceTwin, which runs it."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._rows: dict[tuple[str, str], Write] = {}
        self._added: list[Statement] = []
        self._waiting: list[tuple[Callable[[], None], Callable[[], None]]] = []
        self._news = asyncio.Event()
        self._freed = asyncio.Event()

    def put(
        self,
        rows: Rows,
        added: Sequence[Statement] = (),
        *,
        then: Callable[[], None],
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        """Store rows, each replacing what waits for it, and carry out `added`; then call one of the two."""
        self._rows.update(rows)
        self._added += added
        self._waiting.append((then, failed))
        self._news.set()

    def is_waiting(self, row: tuple[str, str]) -> bool:
        """Whether a newer form of a row is still to be stored."""
        return row in self._rows

    def forget(self, owner: str) -> None:
        """Store no rows of an owner any more: it is gone."""
        for row in [row for row in self._rows if row[0] == owner]:
            del self._rows[row]

    async def room(self) -> None:
        """Wait until not too much waits."""
        while len(self._waiting) >= UNDER_WAY:
            self._freed.clear()
            await self._freed.wait()

    async def run(self) -> NoReturn:
        """Commit until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            rows, added, waiting = self._rows, self._added, self._waiting
            self._rows, self._added, self._waiting = {}, [], []
            self._freed.set()
            stored = await self._commit([*(s for write in rows.values() for s in write()), *added])
            for number, (then, failed) in enumerate(waiting, 1):
                then() if stored else failed()
                if number % BREATH == 0:
                    await asyncio.sleep(0)

    async def _commit(self, statements: Sequence[Statement]) -> bool:
        for attempt in range(ATTEMPTS):
            try:
                # A twin is reported again and again: what a power cut takes comes back with the next report.
                await self._store.submit(statements, durable=False)
            except sqlite3.Error as error:
                level = logging.DEBUG if self._store.problem else logging.ERROR
                log.log(level, "changes of devices could not be stored: %s", error)
                if attempt < ATTEMPTS - 1:
                    await self._clock.sleep(1)
            else:
                return True
        return False
