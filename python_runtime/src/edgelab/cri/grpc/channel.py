"""Unary calls to one address: the connection is made at the first, and again after it was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import IntEnum
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from edgelab.cri.grpc import hpack
from edgelab.cri.grpc.connection import Connection
from edgelab.cri.grpc.stream import PREFIX, Stream, TooMuch

MOST = 16 << 20
"""Octets of an answer: the kubelet's own limit (`maxMsgSize`)."""
LONGEST_TIMEOUT = 99_999_999
"""A timeout has at most eight digits."""


class Status(IntEnum):
    """gRPC's status codes."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


_STATUSES = {b"%d" % status: status for status in Status}
_OF_HTTP = {
    b"400": Status.INTERNAL,
    b"401": Status.UNAUTHENTICATED,
    b"403": Status.PERMISSION_DENIED,
    b"404": Status.UNIMPLEMENTED,
    b"429": Status.UNAVAILABLE,
    b"502": Status.UNAVAILABLE,
    b"503": Status.UNAVAILABLE,
    b"504": Status.UNAVAILABLE,
}
"""What an answer of something that is no gRPC server means (gRPC's `http-grpc-status-mapping.md`)."""


class CallFailed(Exception):
    """The other side answered with an error, or with something that is no answer."""

    def __init__(self, status: Status, message: str) -> None:
        super().__init__(message or status.name)
        self.status = status
        self.message = message


class Channel:
    """`connect` opens a connection with the protocol that it is given."""

    def __init__(self, connect: Callable[[Callable[[], Connection]], Awaitable[Connection]]) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()

    @classmethod
    def unix(cls, path: str) -> Channel:
        """To a unix socket."""

        async def connect(protocol: Callable[[], Connection]) -> Connection:
            return (await asyncio.get_running_loop().create_unix_connection(protocol, path))[1]

        return cls(connect)

    @classmethod
    def tcp(cls, host: str, port: int) -> Channel:
        """To a TCP port, in the clear."""

        async def connect(protocol: Callable[[], Connection]) -> Connection:
            return (await asyncio.get_running_loop().create_connection(protocol, host, port))[1]

        return cls(connect)

    async def call(self, path: str, message: bytes, deadline: float) -> bytes:
        """The answer to `message` within `deadline` seconds.

        Raises OSError without a connection, ConnectionLost or StreamReset after the request was sent,
        CallFailed for an error that is told, TimeoutError.
        """
        async with asyncio.timeout(deadline):
            connection = await self._connected()
            prefix = b"\0" + len(message).to_bytes(PREFIX - 1)
            try:
                answer = await connection.call(_head(path, deadline), prefix + message, MOST)
            except TooMuch as error:
                raise CallFailed(Status.RESOURCE_EXHAUSTED, str(error)) from None
        return _read(answer)

    def close(self) -> None:
        """Drop the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _connected(self) -> Connection:
        async with self._connecting:
            if self._connection is None or not self._connection.is_usable:
                self._connection = await self._connect(Connection)
            return self._connection


@lru_cache(maxsize=64)
def _head(path: str, deadline: float) -> bytes:
    """The header block of a request; there are few methods, and each has its own deadline."""
    timeout = max(1, min(round(deadline * 1000), LONGEST_TIMEOUT))
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
        "user-agent": "edgelab",
        "grpc-timeout": f"{timeout}m",
    }
    return hpack.encode([(name.encode(), value.encode()) for name, value in headers.items()])


def _read(answer: Stream) -> bytes:
    headers = answer.headers
    if (code := headers.get(b"grpc-status")) is None:
        http = headers.get(b":status", b"none")
        text = f"the answer is none of gRPC (HTTP status {http.decode(errors='replace')})"
        raise CallFailed(_OF_HTTP.get(http, Status.UNKNOWN), text)
    status = _STATUSES.get(code, Status.UNKNOWN)
    if status is not Status.OK:
        text = unquote_to_bytes(headers.get(b"grpc-message", b"")).decode(errors="replace")
        raise CallFailed(status, text)
    message = answer.message()
    if message is None:
        raise CallFailed(Status.INTERNAL, "the answer is not one message, or it is compressed")
    return message
