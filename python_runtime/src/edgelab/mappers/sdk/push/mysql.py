"""`pushMethod.dbMethod.mysql`: a table for each property (`_template/mapper/data/dbmethod/mysql`)."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import aiomysql
from pymysql.constants import ER
from pymysql.err import MySQLError

from edgelab.daemon.errors import Unreachable
from edgelab.mappers.sdk.push.credentials import secret
from edgelab.mappers.sdk.push.names import mysql_quoted, mysql_table
from edgelab.mappers.sdk.push.target import Item, Refused, Target
from edgelab.objects.pushmethods import Mysql

CONNECT = 5.0
CLIENT_ERRORS = 2000
"""Error numbers from here on are the connection's (`errmsg.h`)."""
LATER = frozenset(
    {
        0,
        ER.DISK_FULL,
        ER.CON_COUNT_ERROR,
        ER.DBACCESS_DENIED_ERROR,
        ER.ACCESS_DENIED_ERROR,
        ER.BAD_DB_ERROR,
        ER.SERVER_SHUTDOWN,
        ER.RECORD_FILE_FULL,
        ER.HOST_IS_BLOCKED,
        ER.HOST_NOT_PRIVILEGED,
        ER.TABLEACCESS_DENIED_ERROR,
        ER.TOO_MANY_USER_CONNECTIONS,
        ER.LOCK_WAIT_TIMEOUT,
        ER.LOCK_DEADLOCK,
        ER.USER_LIMIT_REACHED,
        ER.OPTION_PREVENTS_STATEMENT,
        ER.QUERY_INTERRUPTED,
        1836,  # ER_READ_ONLY_MODE
        1927,  # MariaDB: ER_CONNECTION_KILLED
    }
)
"""Error numbers of the server after which the same statement may work."""


class MysqlTarget(Target):
    """One database, over one connection."""

    def __init__(self, method: Mysql) -> None:
        self._method = method
        self._connection: Any = None

    async def send(self, items: Sequence[Item]) -> None:
        """All in one transaction."""
        rows: dict[str, list[str]] = {}
        for item in items:
            rows.setdefault(mysql_table(item.sample), []).extend(
                (item.sample.local_time(), item.sample.value)
            )
        try:
            await self._connect()
            async with self._connection.cursor() as cursor:
                for table, values in rows.items():
                    await _insert(cursor, table, values)
            await self._connection.commit()
        except (MySQLError, OSError) as error:
            number, text = _told(error)
            await self.close()
            if number in LATER or number >= CLIENT_ERRORS:
                raise Unreachable(text) from None
            raise Refused(text) from None
        except BaseException:  # cancelled in the middle of a conversation
            await self.close()
            raise

    async def _connect(self) -> None:
        if self._connection is not None:
            return
        self._connection = await aiomysql.connect(
            host=self._method.host,
            port=self._method.port,
            user=self._method.user,
            password=secret("PASSWORD"),
            db=self._method.database,
            charset="utf8mb4",
            connect_timeout=CONNECT,
        )

    async def close(self) -> None:
        """Hang up; what was not committed is gone."""
        if self._connection is not None:
            found, self._connection = self._connection, None
            with contextlib.suppress(Exception):
                found.close()


async def _insert(cursor: Any, table: str, values: Sequence[str]) -> None:
    """Insert times and values by turns, into a table that is made when it is not there."""
    places = ",".join(["(%s,%s)"] * (len(values) // 2))
    statement = f"INSERT INTO {mysql_quoted(table)} (ts,field) VALUES {places}"  # noqa: S608 - quoted
    try:
        await cursor.execute(statement, values)
    except MySQLError as error:
        if _told(error)[0] != ER.NO_SUCH_TABLE:
            raise
        await cursor.execute(create(table), ())
        await cursor.execute(statement, values)


def create(table: str) -> str:
    """KubeEdge's columns; the characters do not depend on the database's settings."""
    columns = "id INT AUTO_INCREMENT PRIMARY KEY, ts DATETIME NOT NULL, field TEXT"
    return f"CREATE TABLE IF NOT EXISTS {mysql_quoted(table)} ({columns}) CHARACTER SET utf8mb4"


def _told(error: BaseException) -> tuple[int, str]:
    """Number and text of an error; 0 when it has none."""
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    text = str(error.args[-1]) if error.args else type(error).__name__
    return (number if isinstance(error, MySQLError) else 0), text
