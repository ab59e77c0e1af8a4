"""Samples as rows of a PostgreSQL table, in the model of the CPU temperature tutorial of KubeEdge's users.

One row a report: `time`, `value` as text, `namespace`, `sensor` (the property), `active` (false once the
device is deleted), `device`. The table is made when it is missing. Rows are identified by device, sensor
and time, so that a report that comes again changes nothing.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import stat
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from edgelab.daemon.errors import Fatal
from edgelab.twinexporter import rows
from edgelab.twinexporter.samples import Device, Sample
from edgelab.twinexporter.sink import Away, Refused

REQUEST_SECONDS = 30.0
CONNECT_SECONDS = 10
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

T = TypeVar("T")
Connection: TypeAlias = psycopg.AsyncConnection[tuple[Any, ...]]


class PostgresSink:
    """A `Sink`. The file with the DSN is read for every new connection, so that a password may change."""

    def __init__(self, dsn_file: Path, namespace: str = "") -> None:
        """Rows of other namespaces than `namespace` (empty: none) are not ours to judge.

        Raises Fatal for a file that others can read or that holds no DSN.
        """
        self._file = dsn_file
        self._namespace = namespace
        self._connection: Connection | None = None
        where = read_dsn(dsn_file)
        host, port = where.get("host", "local"), where.get("port", 5432)
        self.name = f"postgresql://{host}:{port}/{where.get('dbname', where.get('user', ''))}"

    def wants(self, sample: Sample) -> bool:
        """Numbers and texts."""
        return True

    async def open(self) -> None:
        """Nothing to get ready."""

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def write(self, batch: Sequence[Sample]) -> None:
        """Insert one row a sample, all or none."""
        newest = {(sample.device, sample.name, sample.milliseconds): sample for sample in batch}
        columns = (
            [EPOCH + dt.timedelta(milliseconds=sample.milliseconds) for sample in newest.values()],
            [storable(sample.value) for sample in newest.values()],
            [storable(sample.device[0]) for sample in newest.values()],
            [storable(sample.name) for sample in newest.values()],
            [storable(sample.device[1]) for sample in newest.values()],
        )
        await self._ask(lambda connection: connection.execute(rows.INSERT, columns))

    async def gone(self, device: Device) -> None:
        """The rows of the device are no longer active. In steps, each of which is soon done."""
        while await self._ask(lambda connection: _retire(connection, device)):
            pass

    async def settle(self, live: Collection[Device]) -> None:
        """So are those of devices that were deleted while nobody looked."""
        known = await self._ask(_devices)
        for device in known:
            ours = not self._namespace or device[0] == self._namespace
            if ours and device not in live:
                await self.gone(device)

    async def _ask(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                if self._connection is None:
                    self._connection = await self._connect()
                return await work(self._connection)
        except psycopg.DataError as error:
            raise Refused(said(error)) from None
        except (psycopg.Error, OSError, TimeoutError) as error:
            await self._drop()
            raise Away(said(error)) from None

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _connect(self) -> Connection:
        try:
            options = read_dsn(self._file)
        except Fatal as error:
            raise Away(str(error)) from None
        options = {"connect_timeout": CONNECT_SECONDS, "application_name": "edgelab-twinexporter", **options}
        # Without prepared statements it also works through PgBouncer.
        connection = await psycopg.AsyncConnection.connect(autocommit=True, prepare_threshold=None, **options)
        try:
            answer = await connection.execute("SELECT to_regclass(%s)", [rows.TABLE])
            if await answer.fetchone() == (None,):
                async with connection.transaction():
                    for statement in rows.SCHEMA:
                        await connection.execute(statement)
        except BaseException:
            await connection.close()
            raise
        return connection


async def _retire(connection: Connection, device: Device) -> int:
    return (await connection.execute(rows.RETIRE, device)).rowcount


async def _devices(connection: Connection) -> list[Device]:
    return [
        (namespace, device)
        for namespace, device in await (await connection.execute(rows.ACTIVE_DEVICES)).fetchall()
    ]


def storable(text: str) -> str:
    """PostgreSQL's text holds no NUL, and UTF-8 no half of a surrogate pair."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def said(error: BaseException) -> str:
    """The first line of what the server or libpq says; neither repeats a password."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def read_dsn(file: Path) -> dict[str, Any]:
    """Host, user and so on from a file with a URI or `key=value` pairs, as libpq knows them.

    Raises Fatal, without what the file holds, when it cannot be read, others can read it, or it is no DSN.
    """
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Fatal(f"--postgresql-dsn-file {file}: {error}") from None
    # What systemd hands over (LoadCredential=) shows the mask of its access list as the group's rights.
    if mode & 0o077 and str(file.parent) != os.environ.get("CREDENTIALS_DIRECTORY"):
        raise Fatal(f"--postgresql-dsn-file {file}: others can read it (mode {mode:o}): chmod 600 {file}")
    try:
        found = conninfo_to_dict(text)
    except psycopg.Error:
        found = {}
    if not found:
        raise Fatal(
            f"--postgresql-dsn-file {file}: it holds no DSN, such as"
            " postgresql://user:password@host:5432/database?sslmode=verify-full"
        )
    return found
