"""One HTTP request to a service on this node's loopback, by h11 on asyncio.

Nothing is repeated and no redirect is followed. An answer of more than `LARGEST` bytes is an error (the
original cuts it at 5 MB).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import h11

HOST = "127.0.0.1"
LARGEST = 12 << 20
HEAD_LIMIT = 64 << 10
NOT_OURS = frozenset({"host", "content-length", "connection", "transfer-encoding", "expect", "upgrade", "te"})
"""Headers that belong to this connection."""


class CallError(Exception):
    """There is no usable answer; `status` is as in HTTP."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Request(NamedTuple):
    """A request for the service on `port`."""

    method: str
    port: int
    path: str
    header: Mapping[str, Sequence[str]]
    body: bytes


class Answer(NamedTuple):
    """What the service answered; names of headers in Go's spelling."""

    status: int
    header: dict[str, list[str]]
    body: bytes


async def call(request: Request, seconds: float) -> Answer:
    """Ask the service, which has so many seconds. Raises CallError."""
    try:
        async with asyncio.timeout(seconds):
            return await _exchange(request)
    except TimeoutError:
        raise CallError(504, f"the service did not answer within {seconds:g} s") from None
    except OSError as error:
        raise CallError(404, f"error to call service: {error.strerror or error}") from None
    except h11.RemoteProtocolError as error:
        raise CallError(502, f"the service does not speak HTTP as it must: {error}") from None


async def _exchange(request: Request) -> Answer:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_LIMIT)
    try:
        head = connection.send(_head(request))
    except (h11.LocalProtocolError, UnicodeEncodeError) as error:
        raise CallError(400, f"the request cannot be sent: {error}") from None
    reader, writer = await asyncio.open_connection(HOST, request.port)
    try:
        writer.write((head or b"") + (connection.send(h11.Data(data=request.body)) or b""))
        writer.write(connection.send(h11.EndOfMessage()) or b"")
        with contextlib.suppress(ConnectionError):  # a service may answer before it has read everything
            await writer.drain()
        return await _read(connection, reader)
    finally:
        writer.transport.abort()


def _head(request: Request) -> h11.Request:
    length = str(len(request.body))
    headers = [("Host", f"{HOST}:{request.port}"), ("Content-Length", length), ("Connection", "close")]
    for name, values in request.header.items():
        if name.lower() not in NOT_OURS:
            headers += [(name, value) for value in values]
    if not any(name.lower() == "accept" for name in request.header):
        headers.append(("Accept", "*/*"))
    lines = [(name.encode("ascii"), value.encode()) for name, value in headers]
    return h11.Request(
        method=request.method.encode("ascii"), target=request.path.encode("ascii"), headers=lines
    )


async def _read(connection: h11.Connection, reader: asyncio.StreamReader) -> Answer:
    status, header, body = 0, dict[str, list[str]](), bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            data = await reader.read(65536)
            if not data and not status:
                raise CallError(502, "the service closed the connection without an answer")
            connection.receive_data(data)
        elif isinstance(event, h11.Response):
            status = event.status_code
            for name, value in event.headers.raw_items():
                header.setdefault(_canonical(name.decode("ascii")), []).append(value.decode("latin-1"))
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > LARGEST:
                raise CallError(502, f"the service's answer is larger than {LARGEST} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return Answer(status, header, bytes(body))
        elif isinstance(event, h11.ConnectionClosed):
            raise CallError(502, "the service closed the connection without an answer")


def _canonical(name: str) -> str:
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))
