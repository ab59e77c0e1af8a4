"""The present state in memory, writes in groups, changes to whoever watches.

A write is encoded, checked and given its revision at once on the event loop, then committed together
with all other writes that arrived while the disk was busy. Readers see it, and its writer hears of it,
only when it is durable. Writers see each other's pending writes (`head`), so a read-modify-write
without an await in between never conflicts.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from edgelab.daemon.clock import Clock
from edgelab.edgesite.store.disk import Compacted, Disk, Row
from edgelab.edgesite.store.entries import Entry, Event, Key
from edgelab.edgesite.store.watch import Watch

log = logging.getLogger("edgesite.store")

HISTORY_BYTES = 8 << 20
HISTORY_EVENTS = 8192
COMPACTION_SECONDS = 300.0
COMPACTION_ROWS = 500
Encode = Callable[[int], bytes]
State = dict[str, dict[str, dict[str, Entry]]]
T = TypeVar("T")


class StoreFailed(Exception):
    """The disk refused a write; nothing of it was kept."""


class _Write(NamedTuple):
    row: Row
    event: Event
    done: asyncio.Future[Entry]


class Store:
    """A module of EdgeSite: `run` commits what the other methods submit.

    Sends nothing, receives nothing; stores `state.db` in its directory. When the disk fails, the
    writes under way raise StoreFailed and the state stays as it was committed.
    """

    name = "store"

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._clock = clock
        self._disk = Disk(directory / "state.db")
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="edgesite-store")
        self._state: State = {}
        self._pending: list[_Write] = []
        self._flying: list[_Write] = []
        self._head: dict[Key, Event] = {}
        self._wake = asyncio.Event()
        self._watches: dict[str, set[Watch]] = {}
        self._history: deque[Event] = deque()
        self._history_bytes = 0
        self.revision = self._assigned = self._start = max(self._disk.revision, 1)
        self._history_floor = self._start
        self.changed: dict[str, int] = {}
        for entry in self._disk.load():
            self._bucket(entry.key)[entry.key.name] = entry

    def _bucket(self, key: Key) -> dict[str, Entry]:
        return self._state.setdefault(key.bucket, {}).setdefault(key.namespace, {})

    def get(self, key: Key) -> Entry | None:
        """The committed version."""
        return self._state.get(key.bucket, {}).get(key.namespace, {}).get(key.name)

    def head(self, key: Key) -> Entry | None:
        """The version that the next write will follow: it may still be on its way to the disk."""
        event = self._head.get(key)
        if event is None:
            return self.get(key)
        return None if event.deleted else event.entry

    def entries(self, bucket: str, namespace: str = "") -> Iterator[Entry]:
        """The committed objects of a resource, by namespace and name."""
        spaces = self._state.get(bucket, {})
        for space in (namespace,) if namespace else sorted(spaces):
            entries = spaces.get(space, {})
            for name in sorted(entries):
                yield entries[name]

    def heads(self, bucket: str) -> Iterator[Entry]:
        """The objects of a resource including writes that are not yet committed."""
        for entry in self.entries(bucket):
            if entry.key not in self._head:
                yield entry
        for key, event in list(self._head.items()):
            if key.bucket == bucket and not event.deleted:
                yield event.entry

    async def settled(self) -> None:
        """Wait until everything written so far is durable."""
        waiting = [write.done for write in (*self._flying, *self._pending) if not write.done.done()]
        if waiting:
            await asyncio.wait(waiting)

    def changed_at(self, bucket: str) -> int:
        """The revision of the last change of a resource since the start (0 for none)."""
        return self.changed.get(bucket, 0)

    async def list_at(self, bucket: str, revision: int) -> list[Entry]:
        """The objects of a resource as they were at a revision. Raises Compacted."""
        if self.changed_at(bucket) <= revision <= self.revision and revision >= self._start:
            return list(self.entries(bucket))
        return await self._on_thread(lambda: list(self._disk.state_at(revision, bucket)))

    def put(self, key: Key, encode: Encode) -> asyncio.Future[Entry]:
        """Write the next version; `encode` is given its revision. The future is done once durable."""
        return self._submit(key, encode, deleted=False)

    def delete(self, key: Key, encode: Encode) -> asyncio.Future[Entry]:
        """Delete; `encode` gives the last version as the watchers shall see it."""
        return self._submit(key, encode, deleted=True)

    def _submit(self, key: Key, encode: Encode, *, deleted: bool) -> asyncio.Future[Entry]:
        revision = self._assigned + 1
        entry = Entry(key, revision, encode(revision))
        previous = self.head(key)
        self._assigned = revision
        row = Row(revision, key, deleted, previous.revision if previous else 0, entry.data)
        done: asyncio.Future[Entry] = asyncio.get_running_loop().create_future()
        event = Event(entry, previous, deleted=deleted)
        self._pending.append(_Write(row, event, done))
        self._head[key] = event
        self._wake.set()
        return done

    async def run(self) -> None:
        """Commit until cancelled; compact from time to time."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._commit_forever(), name="store/commit")
            group.create_task(self._compact_forever(), name="store/compact")

    async def _commit_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                batch = self._flying = self._pending
                self._pending = []
                rows = [write.row for write in batch]
                try:
                    await self._on_thread(partial(self._disk.commit, rows))
                except sqlite3.Error as error:
                    self._refuse(batch, error)
                else:
                    self._publish(batch)
                self._flying = []

    def _refuse(self, batch: list[_Write], error: sqlite3.Error) -> None:
        log.error("the disk refused %d writes: %s", len(batch), error)
        doomed = [*batch, *self._pending]
        self._pending = []
        self._head.clear()
        self._assigned = self.revision
        for write in doomed:
            if not write.done.done():
                write.done.set_exception(StoreFailed(str(error)))

    def _publish(self, batch: list[_Write]) -> None:
        for row, event, done in batch:
            entries = self._bucket(row.key)
            if event.deleted:
                entries.pop(row.key.name, None)
            else:
                entries[row.key.name] = event.entry
            if self._head.get(row.key) is event:
                del self._head[row.key]
            self.revision = row.revision
            self.changed[row.key.bucket] = row.revision
            self._remember(event)
            for watch in self._watches.get(row.key.bucket, ()):
                watch.deliver(event)
            if not done.done():
                done.set_result(event.entry)

    def _remember(self, event: Event) -> None:
        self._history.append(event)
        self._history_bytes += len(event.entry.data)
        while self._history_bytes > HISTORY_BYTES or len(self._history) > HISTORY_EVENTS:
            oldest = self._history.popleft()
            self._history_bytes -= len(oldest.entry.data)
            self._history_floor = oldest.entry.revision

    @contextmanager
    def _registered(self, watch: Watch) -> Iterator[Watch]:
        self._watches.setdefault(watch.bucket, set()).add(watch)
        try:
            yield watch
        finally:
            self._watches[watch.bucket].discard(watch)

    @contextmanager
    def watch_now(self, bucket: str, namespace: str = "") -> Iterator[Watch]:
        """Watch everything after `self.revision`."""
        with self._registered(Watch(bucket, namespace)) as watch:
            yield watch

    async def replay(self, watch: Watch, after: int, until: int) -> None:
        """Put the changes in (after, until] in front of a watch opened at `until`. Raises Compacted."""
        if after >= until:
            return
        if after >= self._history_floor:
            recent = [e for e in self._history if after < e.entry.revision <= until]
            watch.prepend([e for e in recent if e.entry.key.bucket == watch.bucket])
            return
        watch.prepend(await self._on_thread(lambda: self._disk.events(watch.bucket, after, until)))

    async def compact(self, revision: int) -> None:
        """Forget the states before a revision: watches and lists from there get Compacted.

        In slices, because the same thread commits what others write.
        """
        dropped, slice_rows = 0, COMPACTION_ROWS
        while slice_rows == COMPACTION_ROWS:
            slice_rows = await self._on_thread(lambda: self._disk.compact(revision, COMPACTION_ROWS))
            dropped += slice_rows
        while self._history and self._history[0].entry.revision <= revision:
            self._history_bytes -= len(self._history.popleft().entry.data)
        self._history_floor = max(self._history_floor, revision)
        log.debug("compacted to revision %d: %d rows dropped", revision, dropped)

    async def _compact_forever(self) -> None:
        """Keep between one and two periods of history."""
        last = self.revision
        while True:
            await self._clock.sleep(COMPACTION_SECONDS)
            boundary, last = last, self.revision
            try:
                await self.compact(boundary)
            except sqlite3.Error as error:
                log.error("the disk refused to forget old revisions, trying again later: %s", error)

    async def _on_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Let the last commit end and close the file."""
        self._thread.shutdown(wait=True)
        self._disk.close()


__all__ = ["Compacted", "Store", "StoreFailed"]
