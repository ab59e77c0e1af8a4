"""What is kept of a job while it runs, so that a restart of EdgeCore in its middle is no end of it.

A row of table `meta`, type `nodejob`; its key is the resource of the job's messages.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import Any

import msgspec

from edgelab.edgecore.metamanager import rows
from edgelab.edgecore.store import Statement, Store
from edgelab.protocol.content.jobs import ActionStatus

log = logging.getLogger(__name__)

KIND = "nodejob"


class Record(msgspec.Struct):
    """One job. `action` is the one that is to be done or (`started`) being done; empty when all are."""

    resource: str
    spec: dict[str, Any]
    action: str
    started: bool = False
    waits: bool = False
    """Whether somebody has to confirm before `action` is begun."""
    before: str = ""
    """The version that ran when the job began."""
    reports: list[ActionStatus] = []
    """Those that are not sent yet."""


class Records:
    """The rows. When they cannot be written (a full disk) jobs go on, but end with the process."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> list[Record]:
        """Those that can be read, by name."""
        found = []
        for _, value in rows.of_type(self._store, KIND):
            try:
                found.append(msgspec.json.decode(value, type=Record))
            except msgspec.DecodeError:
                continue
        return found

    async def save(self, record: Record) -> None:
        """Keep the record as it is now."""
        await self._submit(rows.put(record.resource, KIND, msgspec.json.encode(record)))

    async def drop(self, record: Record) -> None:
        """The job is over and reported."""
        await self._submit(rows.drop(record.resource))

    async def _submit(self, statement: Statement) -> None:
        try:
            await self._store.submit([statement])
        except sqlite3.Error as error:
            log.warning("a job cannot be kept over a restart: %s", error)
