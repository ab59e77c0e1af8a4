"""The side of a site that its followers pull from: a snapshot to begin with, then the log as it grows.

A follower that is connected has a write a round trip after it was durable here. With `wait` the site
answers nobody before one follower has it durably, too, unless that takes longer than `wait` seconds: such
a follower is late, and is waited for again as soon as it has caught up.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path

import msgspec
from aiohttp import WSMsgType, web

from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Fatal
from edgelab.edgesite.operation import archive, datadir, wire
from edgelab.edgesite.operation.prometheus import Page
from edgelab.edgesite.store import Compacted, Ended, Store
from edgelab.edgesite.store.errors import failure
from edgelab.edgesite.store.rows import COLUMNS, Row, read
from edgelab.objects.status import ApiError

log = logging.getLogger("edgesite.publisher")

ROWS, BYTES = 500, 1 << 20
"""Limits of one batch."""
LAST_SECONDS, LOOK_SECONDS = 3.0, 0.02
"""How long followers are waited for at the end, and how often is looked whether writes are under way."""


class Follower:
    """One that is connected. `caught_up` is when it last had everything."""

    def __init__(self, name: str, durable: int, now: float) -> None:
        self.name = name
        self.durable = durable
        self.caught_up = now
        self.late = True


class Publisher:
    """Pages of the API server for followers; the caller has checked who may."""

    def __init__(
        self,
        data_dir: Path,
        store: Store,
        clock: Clock,
        *,
        wait: float = 0.0,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._data_dir = data_dir
        self._store = store
        self._clock = clock
        self._wait = wait
        self._busy = busy
        self._followers: set[Follower] = set()
        self._progress = asyncio.Event()
        if wait:
            store.confirm = self._confirm

    async def answer(self, request: web.Request) -> web.StreamResponse | None:
        """Snapshot or log; None for another path."""
        if request.path == wire.SNAPSHOT:
            return await self._snapshot(request)
        return await self._log(request) if request.path == wire.LOG else None

    async def hand_on(self) -> None:
        """Before the end: let writes that are under way finish, and the followers have them."""
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                while self._followers and self._busy():
                    await self._clock.sleep(LOOK_SECONDS)
                while any(follower.durable < self._store.durable for follower in self._followers):
                    self._progress.clear()
                    await self._progress.wait()

    async def _snapshot(self, request: web.Request) -> web.StreamResponse:
        with tempfile.TemporaryDirectory(prefix=datadir.SNAPSHOT, dir=self._data_dir) as scratch:
            target = Path(scratch) / "snapshot"
            try:
                await asyncio.to_thread(archive.write, self._data_dir, target, self._clock)
            except Fatal as error:
                raise ApiError(500, str(error)) from error
            response = web.StreamResponse(headers={"Content-Type": "application/gzip"})
            response.content_length = target.stat().st_size
            await response.prepare(request)
            with target.open("rb") as file:
                while chunk := await asyncio.to_thread(file.read, BYTES):
                    await response.write(chunk)
            await response.write_eof()
            return response

    async def _log(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        after, mine = query.get("after", ""), (str(self._store.history), self._keys())
        if not after.isdecimal() or (query.get("history"), query.get("keys")) != mine:
            raise ApiError(410, "the follower's copy is of another history: it has to take a snapshot first")
        async with self._reading() as reader:
            first = await reader.batch(int(after))
            socket = web.WebSocketResponse(compress=False, max_msg_size=1 << 10, heartbeat=10.0)
            await socket.prepare(request)
            follower = Follower(query.get("name", "")[:63], int(after), self._clock.monotonic())
            self._followers.add(follower)
            log.info("%s follows from revision %s", follower.name, after)
            try:
                await self._serve(socket, reader, follower, first)
            finally:
                self._followers.discard(follower)
                self._progress.set()
                log.info("%s no longer follows", follower.name)
        return socket

    def _keys(self) -> str:
        return wire.keys_digest(self._data_dir)

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[LogReader]:
        """A connection of its own: reading does not keep the writer waiting."""
        reader = LogReader(self._data_dir / "state.db")
        try:
            yield reader
        except Compacted as error:
            raise ApiError(410, "the follower fell behind what is kept: it has to take a snapshot") from error
        except sqlite3.Error as error:
            raise failure(error, str(self._data_dir)) from error
        finally:
            reader.close()

    async def _serve(
        self, socket: web.WebSocketResponse, reader: LogReader, follower: Follower, first: wire.Batch
    ) -> None:
        sending = asyncio.create_task(self._send(socket, reader, follower, first), name="publisher/send")
        try:
            async for message in socket:
                if message.type is not WSMsgType.BINARY:
                    break
                self._heard(follower, wire.answer(message.data).revision)
        except msgspec.MsgspecError:
            log.warning("%s answers something that is no revision", follower.name)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            await socket.close()

    async def _send(
        self, socket: web.WebSocketResponse, reader: LogReader, follower: Follower, batch: wire.Batch
    ) -> None:
        sent = follower.durable
        try:
            while True:
                batch.revision = self._store.durable
                await socket.send_bytes(wire.encode(batch))
                if batch.rows:
                    sent = batch.rows[-1][0]
                else:
                    await self._news(sent)
                batch = await reader.batch(sent)
        except Ended:
            batch = await reader.batch(sent)
            await socket.send_bytes(wire.encode(batch))
        except Compacted:
            log.warning("%s fell behind what is kept, and takes a snapshot", follower.name)
        except (ConnectionError, sqlite3.Error) as error:
            log.warning("cannot send the log to %s: %s", follower.name, error)
        await socket.close()

    async def _news(self, sent: int) -> None:
        try:
            async with asyncio.timeout(wire.HEARTBEAT_SECONDS):
                await self._store.advance(sent)
        except TimeoutError:
            return

    def _heard(self, follower: Follower, durable: int) -> None:
        follower.durable = durable
        behind = self._store.durable - durable
        if behind <= 0:
            follower.caught_up = self._clock.monotonic()
        if behind <= ROWS:
            follower.late = False
        self._progress.set()

    async def _confirm(self, revision: int) -> None:
        """Wait until a follower that is not late has a revision, for as long as was asked for."""
        waited = [follower for follower in self._followers if not follower.late]
        try:
            async with asyncio.timeout(self._wait):
                while waited and all(follower.durable < revision for follower in waited):
                    self._progress.clear()
                    await self._progress.wait()
                    waited = [follower for follower in waited if follower in self._followers]
        except TimeoutError:
            for follower in waited:
                follower.late = True
                log.warning("%s is late: writes are answered without it until it caught up", follower.name)

    def write(self, page: Page) -> None:
        """How far behind the followers are."""
        now, newest = self._clock.monotonic(), self._store.durable
        lags = [({"follower": one.name}, one) for one in self._followers]
        page.gauge("edgesite_followers", "Followers that are connected.", len(lags))
        page.family(
            "edgesite_follower_lag_revisions",
            "gauge",
            "Revisions that a follower does not have durably yet.",
            ((labels, max(0, newest - one.durable)) for labels, one in lags),
        )
        page.family(
            "edgesite_follower_lag_seconds",
            "gauge",
            "Seconds since a follower last had everything.",
            ((labels, 0.0 if one.durable >= newest else now - one.caught_up) for labels, one in lags),
        )


class LogReader:
    """Reads the log while the store writes it."""

    def __init__(self, path: Path) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="edgesite-publisher")
        self._connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False
        )

    async def batch(self, after: int) -> wire.Batch:
        """The next rows. Raises Compacted, sqlite3.Error."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._batch, after)

    def _batch(self, after: int) -> wire.Batch:
        run = self._connection.execute
        run("BEGIN")
        try:
            found = run("SELECT value FROM meta WHERE name = 'compacted'").fetchone()
            floor = int(found[0]) if found else 0
            if after < floor:
                raise Compacted
            rows = self._rows(after)
            return wire.Batch(rows[-1].revision if rows else after, floor, list(map(wire.to_wire, rows)))
        finally:
            run("COMMIT")

    def _rows(self, after: int) -> list[Row]:
        query = f"SELECT {COLUMNS} FROM log WHERE revision > ? ORDER BY revision LIMIT ?"  # noqa: S608
        rows, size = [], 0
        with closing(self._connection.execute(query, (after, ROWS))) as cursor:
            for found in cursor:
                row, sound = read(found)
                if not sound:
                    raise sqlite3.DatabaseError(f"revision {row.revision} is damaged")
                rows.append(row)
                size += len(row.value)
                if size > BYTES:
                    break
        return rows

    def close(self) -> None:
        """Close the connection."""
        self._thread.shutdown(wait=True)
        self._connection.close()
