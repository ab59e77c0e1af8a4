"""The file: lines in the order of their events, in files of limited size.

Events wait in a queue of limited length. When the disk is slower than the requests and the queue is
full, further events are dropped, counted and reported: a full disk must not stop a site that people
depend on. Numbered files are kept beside the newest one: `FILE.1` is the youngest of them.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Fatal
from edgelab.edgesite.operation.prometheus import Page

log = logging.getLogger("edgesite.audit")

Obj = dict[str, Any]

QUEUE = 10000
BATCH = 500
REPORT_SECONDS = 60.0


class AuditLog:
    """A module: writes what `add` was given. `written` and `dropped` count events."""

    name = "audit-log"

    def __init__(self, path: Path, clock: Clock, max_bytes: int, backups: int) -> None:
        self._path = path
        self._clock = clock
        self._max_bytes = max_bytes
        self._backups = backups
        self._queue: deque[Obj] = deque()
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="edgesite-audit")
        self._file = self._open()
        self._reported = 0
        self._due = 0.0
        self.written = self.dropped = 0

    def _open(self) -> BinaryIO:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Fatal(f"cannot write --audit-log {self._path}: {error.strerror}") from error
        return os.fdopen(descriptor, "ab", buffering=0)

    def add(self, event: Obj) -> None:
        """Write soon; never waits."""
        if len(self._queue) >= QUEUE:
            self.dropped += 1
            return
        self._queue.append(event)
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled, then what is left."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                while self._queue:
                    await self._write()
        finally:
            while self._queue:
                self._put(self._taken())
            self._thread.shutdown(wait=True)
            self._file.close()

    def write(self, page: Page) -> None:
        """Its numbers for `/metrics`."""
        page.counter("edgesite_audit_events_total", "Audit events written.", self.written)
        page.counter("edgesite_audit_dropped_events_total", "Audit events lost.", self.dropped)

    def _taken(self) -> list[Obj]:
        return [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]

    async def _write(self) -> None:
        batch = self._taken()
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, self._put, batch))
        self._report()

    def _put(self, batch: list[Obj]) -> None:
        """On the thread."""
        data = b"".join(msgspec.json.encode(event) + b"\n" for event in batch)
        try:
            if self._file.tell() and self._file.tell() + len(data) > self._max_bytes:
                self._rotate()
            self._file.write(data)
        except OSError as error:
            self.dropped += len(batch)
            log.error("cannot write %s: %s", self._path, error.strerror)
        else:
            self.written += len(batch)

    def _rotate(self) -> None:
        self._file.close()
        for number in range(self._backups, 1, -1):
            older = self._numbered(number - 1)
            if older.exists():
                older.replace(self._numbered(number))
        if self._backups:
            self._path.replace(self._numbered(1))
        else:
            self._path.unlink()
        self._file = self._open()

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _report(self) -> None:
        """Say what was lost, not more often than once in a while."""
        now = self._clock.monotonic()
        if self.dropped > self._reported and now >= self._due:
            log.error(
                "%d audit events were dropped: %s is too slow", self.dropped - self._reported, self._path
            )
            self._reported, self._due = self.dropped, now + REPORT_SECONDS
