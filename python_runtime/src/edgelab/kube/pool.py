"""Kept connections to one server: a bounded number, the one used last first, further requests in order."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from edgelab.kube.connection import Answer, Connection, Dropped

IDLE_SECONDS = 60.0
"""A connection that was idle for longer is not trusted: middle boxes forget them, servers close them."""
REPEATABLE = frozenset({"GET", "PUT", "DELETE"})
"""What is sent once more when a kept connection turns out to be closed (RFC 9110, 9.2.2)."""
PATH = "/%?&=:;,+$@!'()*~"
"""Characters that a path may bring besides letters and digits; it comes with its names quoted."""


Headers: TypeAlias = list[tuple[str, str]]


class Request(NamedTuple):
    """What is asked; `headers` without Host and Content-Length."""

    method: str
    path: str
    params: Mapping[str, str]
    headers: Headers
    body: bytes | None = None


class Pool:
    """At most `limit` connections to `server` (http:// or https://)."""

    def __init__(
        self,
        server: str,
        tls: ssl.SSLContext | None,
        *,
        limit: int,
        connect_seconds: float,
        server_name: str | None = None,
    ) -> None:
        """`server_name` is what the certificate has to be for, where that is not the server's own name."""
        self._server: SplitResult = urlsplit(server)
        self._host = self._server.hostname or ""
        self._tls = (tls or True) if self._server.scheme == "https" else None
        self._server_name = server_name
        self._connect_seconds = connect_seconds
        self._idle: list[tuple[float, Connection]] = []
        self._all: set[Connection] = set()
        self._room = asyncio.Semaphore(limit)

    async def send(self, request: Request) -> Answer:
        """Do a request; waits while all connections are busy.

        Raises OSError, ssl.SSLError, TimeoutError (connecting takes too long) and Malformed.
        """
        data = self._encoded(request)
        async with self._room:
            while True:
                connection = await self._connection()
                is_new = connection.uses == 0
                try:
                    answer = await connection.exchange(data)
                except Dropped as dropped:
                    if is_new or not dropped.untouched or request.method not in REPEATABLE:
                        raise
                    continue
                if connection.reusable:
                    self._idle.append((time.monotonic(), connection))
                else:
                    connection.abort()
                return answer

    async def close(self) -> None:
        """End all connections."""
        connections = list(self._all)
        for connection in connections:
            connection.abort()
        if connections:
            await asyncio.wait([connection.lost for connection in connections])

    async def _connection(self) -> Connection:
        """One that is kept, or a new one."""
        limit = time.monotonic() - IDLE_SECONDS
        while self._idle:
            since, connection = self._idle.pop()
            if connection.reusable and since > limit:
                return connection
            connection.abort()
        return await self._connect()

    async def _connect(self) -> Connection:
        secure = self._tls is not None
        async with asyncio.timeout(self._connect_seconds):
            _, connection = await asyncio.get_running_loop().create_connection(
                Connection,
                self._host,
                self._server.port or (443 if secure else 80),
                ssl=self._tls,
                server_hostname=(self._server_name or self._host) if secure else None,
            )
        self._all.add(connection)
        connection.lost.add_done_callback(lambda _: self._all.discard(connection))
        return connection

    def _encoded(self, request: Request) -> bytes:
        path = quote(self._server.path.rstrip("/") + request.path, safe=PATH)
        if request.params:
            path += ("&" if "?" in path else "?") + urlencode(request.params, quote_via=quote)
        headers = [("Host", self._server.netloc.rpartition("@")[2]), *request.headers]
        if request.body is not None or request.method in ("POST", "PUT", "PATCH"):
            headers.append(("Content-Length", str(len(request.body or b""))))
        lines = [f"{request.method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        if any("\r" in line or "\n" in line for line in lines):
            raise ValueError("a header of a request has more than one line")
        return "\r\n".join([*lines, "", ""]).encode() + (request.body or b"")
