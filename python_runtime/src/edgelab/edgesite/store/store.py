"""The present state in memory, writes in groups, changes to whoever watches.

A write is encoded, checked and given its revision at once on the event loop, then committed together
with all other writes that arrived while the disk was busy, or that can be made in the same turn of the
loop. Readers see it, and its writer hears of it, only when it is durable. Writers see each other's
pending writes (`head`), so a read-modify-write without an await in between never conflicts.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from edgelab.daemon.clock import Clock
from edgelab.edgesite.store.compaction import Compactor
from edgelab.edgesite.store.disk import Disk
from edgelab.edgesite.store.entries import Entry, Event, Key
from edgelab.edgesite.store.errors import Compacted, StoreFailed, failure
from edgelab.edgesite.store.history import Recent
from edgelab.edgesite.store.retention import History
from edgelab.edgesite.store.rows import PLAIN, Row, Transform
from edgelab.edgesite.store.state import State, shared
from edgelab.edgesite.store.stats import Stats
from edgelab.edgesite.store.watch import Ended, Watch

log = logging.getLogger("edgesite.store")

Encode = Callable[[int], bytes]
_HISTORY = History()
T = TypeVar("T")


class _Write(NamedTuple):
    row: Row
    event: Event
    done: asyncio.Future[Entry]


class Store:
    """A module of EdgeSite: `run` commits what the other methods submit, to `state.db` in its directory.

    When the disk fails, the writes under way raise StoreFailed and the state stays as it was committed.
    """

    name = "store"

    def __init__(
        self, directory: Path, clock: Clock, transform: Transform = PLAIN, history: History = _HISTORY
    ) -> None:
        self._disk = Disk(directory / "state.db", transform)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="edgesite-store")
        self._state = State(self._disk.load())
        self._pending: list[_Write] = []
        self._flying: list[_Write] = []
        self._head: dict[Key, Event] = {}
        self._wake = asyncio.Event()
        self._waiting: list[asyncio.Future[None]] = []
        self._watches: dict[str, set[Watch]] = {}
        self._closing = False
        self.revision = self.durable = self._assigned = self._start = max(self._disk.revision, 1)
        self._recent = Recent(self._start, clock)
        self._compactor = Compactor(self._disk, self._on_thread, clock, history, self._forgot)
        self.compact = self._compactor.compact
        self.history, self.term = self._disk.meta("history", 0), self._disk.meta("term", 0)
        self.changed: dict[str, int] = {}
        self.stats = Stats()
        self.refusal: StoreFailed | None = None
        """Why the last commit failed; None after one that did not."""
        self.confirm: Callable[[int], Awaitable[None]] | None = None
        """Awaited with a revision that is durable here before anybody is told of it."""

    def get(self, key: Key) -> Entry | None:
        """The committed version."""
        return self._state.get(key)

    def head(self, key: Key) -> Entry | None:
        """The version that the next write will follow: it may still be on its way to the disk."""
        event = self._head.get(key)
        return self.get(key) if event is None else None if event.deleted else event.entry

    def entries(self, bucket: str, namespace: str = "") -> Iterator[Entry]:
        """The committed objects of a resource, by namespace and name."""
        return self._state.entries(bucket, namespace)

    def counts(self) -> dict[str, int]:
        """Number of committed objects of each resource."""
        return self._state.counts()

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
        return await self._read(lambda: list(self._disk.state_at(revision, bucket)))

    def put(self, key: Key, encode: Encode) -> asyncio.Future[Entry]:
        """Write the next version; `encode` is given its revision. The future is done once durable."""
        return self._submit(key, encode, deleted=False)

    def delete(self, key: Key, encode: Encode) -> asyncio.Future[Entry]:
        """Delete; `encode` gives the last version as the watchers shall see it."""
        return self._submit(key, encode, deleted=True)

    def _submit(self, key: Key, encode: Encode, *, deleted: bool) -> asyncio.Future[Entry]:
        revision = self._assigned + 1
        data = encode(revision)
        previous = self.head(key)
        key = previous.key if previous is not None else shared(key)
        entry = Entry(key, revision, data)
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
            group.create_task(self._compactor.run(), name="store/compact")

    async def _commit_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._pending:
                # One turn more: who can write already joins, and a commit costs more than a turn.
                await asyncio.sleep(0)
                batch = self._flying = self._pending
                self._pending = []
                await self._commit(batch)
                self._flying = []

    async def _commit(self, batch: list[_Write]) -> None:
        rows = [write.row for write in batch]
        began = time.perf_counter()
        try:
            await self._on_thread(partial(self._disk.commit, rows))
        except sqlite3.Error as error:
            self._refuse(batch, error)
            return
        self.stats.commits.observe(time.perf_counter() - began)
        self.stats.rows += len(rows)
        self.refusal = None
        self.durable = rows[-1].revision
        self._advanced()
        if self.confirm is not None:
            await self.confirm(rows[-1].revision)
        self._publish(batch)
        self._compactor.committed(self.revision, sum(len(row.value) for row in rows))

    def _refuse(self, batch: list[_Write], error: sqlite3.Error) -> None:
        doomed = [*batch, *self._pending]
        refusal = failure(error, str(self._disk.path.parent))
        if self.refusal is None:
            log.error("the disk refused %d writes: %s", len(doomed), refusal)
        self.refusal = refusal
        self.stats.refused += len(doomed)
        self._pending = []
        self._head.clear()
        self._assigned = self.revision
        for write in doomed:
            if not write.done.done():
                write.done.set_exception(StoreFailed(str(refusal)))

    def _publish(self, batch: list[_Write]) -> None:
        for row, event, done in batch:
            if event.deleted:
                self._state.drop(row.key)
            else:
                self._state.put(event.entry)
            if self._head.get(row.key) is event:
                del self._head[row.key]
            self.revision = row.revision
            self.changed[row.key.bucket] = row.revision
            self._recent.add(event)
            for watch in self._watches.get(row.key.bucket, ()):
                watch.deliver(event)
            if not done.done():
                done.set_result(event.entry)

    async def advance(self, revision: int) -> int:
        """Wait until something newer than a revision is durable; gives the newest. Raises Ended."""
        while self.durable <= revision:
            if self._closing:
                raise Ended
            news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(news)
            await news
        return self.durable

    def _advanced(self) -> None:
        waiting, self._waiting = self._waiting, []
        for news in waiting:
            if not news.done():
                news.set_result(None)

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
            if self._closing:
                watch.end()
            yield watch

    async def replay(self, watch: Watch, after: int, until: int) -> None:
        """Put the changes in (after, until] in front of a watch opened at `until`. Raises Compacted."""
        if after >= until:
            return
        recent = self._recent.after(watch.bucket, after, until)
        if recent is None:
            recent = await self._read(lambda: self._disk.events(watch.bucket, after, until))
        watch.prepend(recent)

    def end_watches(self, *buckets: str) -> None:
        """Tell the watches of some resources, or (with none) all of now and later, that this was all."""
        self._closing = self._closing or not buckets
        self._advanced()
        for bucket in buckets or tuple(self._watches):
            for watch in self._watches.get(bucket, ()):
                watch.end()

    def _forgot(self, revision: int) -> None:
        self._recent.forget(revision)
        self.stats.compactions += 1

    async def answers(self) -> None:
        """Wait for the writer thread, which does not answer when the disk hangs."""
        await self._on_thread(lambda: None)

    async def probe(self) -> None:
        """Find out whether the disk takes writes, if it refused the last one. Raises StoreFailed."""
        if self.refusal is None:
            await self.answers()
            return
        try:
            await self._on_thread(self._disk.probe)
        except sqlite3.Error as error:
            raise failure(error, str(self._disk.path.parent)) from error
        self.refusal = None

    async def sizes(self) -> tuple[int, int, int]:
        """Bytes of the database, of them free, and the oldest revision that can be read."""
        return await self._read(lambda: (*self._disk.sizes(), self._disk.floor))

    async def _read(self, work: Callable[[], T]) -> T:
        """Read from the disk. Raises StoreFailed."""
        try:
            return await self._on_thread(work)
        except sqlite3.Error as error:
            log.error("cannot read from the store: %s", error)
            raise failure(error, str(self._disk.path)) from error

    async def _on_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def close(self) -> None:
        """Let the last commit end and close the file."""
        self._thread.shutdown(wait=True)
        self._disk.close()


__all__ = ["Compacted", "Store", "StoreFailed"]
