"""`edgesite follow`: keep a copy of a site on this box, as close behind it as the network allows."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import socket
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import msgspec

from edgelab.daemon import backoff
from edgelab.daemon.clock import Clock
from edgelab.daemon.errors import Fatal, Unreachable
from edgelab.daemon.notify import notify, ready
from edgelab.edgesite.operation import archive, copies, datadir, wire
from edgelab.edgesite.store.disk import Disk
from edgelab.kube.kubeconfig import Kubeconfig

log = logging.getLogger("edgesite.follower")

FIRST_DELAY, LONGEST_DELAY = 0.2, 5.0
SILENCE_SECONDS = 10 * wire.HEARTBEAT_SECONDS
COMPACTION_ROWS = 500
OUTDATED = ".outdated"


class _Outdated(Exception):
    """The copy cannot be continued; a snapshot is needed."""


class Follower:
    """Owns its data directory while it runs. Raises Fatal for one that holds a site of its own."""

    def __init__(self, site: Kubeconfig, data_dir: Path, clock: Clock, *, force: bool = False) -> None:
        self._site = site
        self._data_dir = data_dir
        self._clock = clock
        self._force = force
        self._database = data_dir / datadir.DATABASE
        self._disk: Disk | None = None
        self._followed = False

    async def run(self) -> None:
        """Follow until cancelled, however often the site goes away."""
        descriptor = datadir.lock(self._data_dir)
        try:
            datadir.finish(self._data_dir)
            self._refuse_a_site()
            await self._follow_forever()
        finally:
            self._close()
            os.close(descriptor)

    def _close(self) -> None:
        if self._disk is not None:
            self._disk.close()
        self._disk = None

    def _refuse_a_site(self) -> None:
        if not self._database.exists() or copies.is_copy(self._database):
            return
        if not self._force:
            raise Fatal(
                f"{self._data_dir} holds a site of its own; give another --data-dir, or --force to put it"
                " aside and follow in its place"
            )
        datadir.put_aside(self._data_dir)

    async def _follow_forever(self) -> None:
        delays, told = backoff.delays(FIRST_DELAY, LONGEST_DELAY), False
        while True:
            try:
                async with self._session() as http:
                    await self._follow(http)
                delays, told = backoff.delays(FIRST_DELAY, LONGEST_DELAY), False
            except (Unreachable, aiohttp.ClientError, TimeoutError, OSError) as error:
                if not told:
                    log.warning("cannot follow %s: %s; trying again", self._site.server, error or "timeout")
                    notify(STATUS=f"cannot follow {self._site.server}: {error}")
                told = True
            await self._clock.sleep(next(delays))

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[aiohttp.ClientSession]:
        connector = aiohttp.TCPConnector(ssl=self._site.ssl_context() or True)
        headers = {"Authorization": f"Bearer {self._site.token}"} if self._site.token else {}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=5.0, sock_read=60.0)
        async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=timeout) as http:
            yield http

    async def _follow(self, http: aiohttp.ClientSession) -> None:
        """One connection, from its begin to its end. The database stays open between them: to open it is
        to check it.
        """
        if not self._database.exists():
            await self._take_snapshot(http)
        if self._disk is None:
            self._disk = await asyncio.to_thread(Disk, self._database)
        try:
            await self._pull(http, self._disk)
        except _Outdated:
            self._close()
            await self._take_snapshot(http)

    async def _take_snapshot(self, http: aiohttp.ClientSession) -> None:
        log.info("taking a snapshot of %s", self._site.server)
        received = self._data_dir / ".snapshot"
        async with http.get(self._site.server + wire.SNAPSHOT) as response:
            if response.status != 200:
                raise Unreachable(f"{response.status} {(await response.text())[:200]}")
            with os.fdopen(os.open(received, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                async for chunk in response.content.iter_chunked(1 << 16):
                    file.write(chunk)
        await asyncio.to_thread(self._put_in, received)

    def _put_in(self, received: Path) -> None:
        staged = datadir.stage(self._data_dir)
        archive.verify(received, staged)
        copies.check(staged / datadir.DATABASE)
        copies.mark_copy(staged / datadir.DATABASE)
        outdated = datadir.put_in(self._data_dir, OUTDATED)
        received.unlink()
        if outdated is not None:
            shutil.rmtree(outdated)

    async def _pull(self, http: aiohttp.ClientSession, disk: Disk) -> None:
        place = {
            "after": str(disk.revision),
            "history": str(disk.meta("history", 0)),
            "keys": wire.keys_digest(self._data_dir),
            "name": socket.gethostname(),
        }
        url = f"{self._site.server}{wire.LOG}?{urlencode(place)}"
        try:
            async with http.ws_connect(url, max_msg_size=64 << 20, heartbeat=10.0) as stream:
                await self._apply_all(stream, disk)
        except aiohttp.WSServerHandshakeError as error:
            if error.status == 410:
                raise _Outdated from error
            raise

    async def _apply_all(self, stream: aiohttp.ClientWebSocketResponse, disk: Disk) -> None:
        while True:
            message = await stream.receive(timeout=SILENCE_SECONDS)
            if message.type is not aiohttp.WSMsgType.BINARY:
                raise Unreachable("the site closed the connection")
            try:
                batch = wire.batch(message.data)
                durable = await asyncio.to_thread(partial(self._apply, disk, batch))
            except (msgspec.MsgspecError, sqlite3.Error) as error:
                raise Unreachable(f"cannot take what it sent: {error}") from error
            await stream.send_bytes(wire.encode(wire.Durable(durable)))
            self._tell(durable, batch.revision)

    @staticmethod
    def _apply(disk: Disk, batch: wire.Batch) -> int:
        """Make a batch durable, and forget what the site has forgotten; gives the newest revision here."""
        if batch.rows:
            disk.append([wire.from_wire(row) for row in batch.rows])
        durable = disk.revision
        if disk.floor < batch.floor <= durable:
            while disk.compact(batch.floor, COMPACTION_ROWS) == COMPACTION_ROWS:
                pass
            disk.shrink(COMPACTION_ROWS)
        return durable

    def _tell(self, durable: int, newest: int) -> None:
        status = f"following {self._site.server} at revision {durable}"
        if durable < newest:
            notify(STATUS=f"{status}, {newest - durable} behind")
        elif self._followed:
            notify(STATUS=status)
        else:
            self._followed = True
            log.info(status)
            ready(status)
