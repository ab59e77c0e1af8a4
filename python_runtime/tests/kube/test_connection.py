"""HTTP/1.1 answers as servers may send them, whole and in pieces, and connections that end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest

from edgelab.kube.connection import Answer, Connection, Dropped, Malformed
from edgelab.kube.pool import Pool, Request

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CHUNKS = (
    b"HTTP/1.1 201 Created\r\nTransfer-Encoding: Chunked\r\n\r\n"
    b"3;note=x\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: x\r\n\r\n"
)
ANSWERS = {
    "a length": (PLAIN, Answer(200, b"hello"), True),
    "chunks": (CHUNKS, Answer(201, b"hello"), True),
    "nothing": (b"HTTP/1.1 204 No Content\r\n\r\n", Answer(204, b""), True),
    "an empty body": (b"HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n", Answer(409, b""), True),
    "a word before": (b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN, Answer(200, b"hello"), True),
    "the last one": (
        PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
        Answer(200, b"hello"),
        False,
    ),
    "more than was asked for": (PLAIN + PLAIN, Answer(200, b"hello"), False),
    "an old server": (PLAIN.replace(b"1.1", b"1.0"), Answer(200, b"hello"), False),
}
NONSENSE = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "no status": b"HTTP/1.1 two hundred\r\n\r\n",
    "a length that is none": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    "a chunk without a length": CHUNKS.replace(b"3;note=x", b"three"),
    "a chunk of negative length": CHUNKS.replace(b"3;note=x", b"-3"),
    "a chunk that is longer": CHUNKS.replace(b"hel\r\n", b"hell\r\n"),
    "an endless head": b"HTTP/1.1 200 OK\r\n" + b"x" * 70_000,
}


class Transport(asyncio.Transport):
    """Takes what is written; the other side is the test."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def abort(self) -> None:
        self.aborted = True


def connected() -> tuple[Connection, Transport]:
    connection, transport = Connection(), Transport()
    connection.connection_made(transport)
    return connection, transport


async def exchange(connection: Connection, answer: Callable[[], None]) -> Answer:
    task = asyncio.create_task(connection.exchange(b"GET / HTTP/1.1\r\n\r\n"))
    await asyncio.sleep(0)
    answer()
    return await task


@pytest.mark.parametrize("case", ANSWERS)
@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_an_answer_is_taken_in_whatever_pieces_it_comes(case: str, size: int) -> None:
    data, wanted, reusable = ANSWERS[case]
    connection, _ = connected()

    def send() -> None:
        for start in range(0, len(data), size):
            connection.data_received(data[start : start + size])

    for _ in range(2 if reusable else 1):
        assert await exchange(connection, send) == wanted
    assert connection.reusable is reusable


async def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    connection, _ = connected()

    def send() -> None:
        connection.data_received(b"HTTP/1.1 200 OK\r\n\r\nhel")
        connection.data_received(b"lo")
        connection.connection_lost(None)

    assert await exchange(connection, send) == Answer(200, b"hello")
    assert not connection.reusable


@pytest.mark.parametrize("case", NONSENSE)
async def test_what_is_no_http_is_refused(case: str) -> None:
    connection, transport = connected()
    with pytest.raises(Malformed):
        await exchange(connection, lambda: connection.data_received(NONSENSE[case]))
    assert transport.aborted


@pytest.mark.parametrize(("sent", "untouched"), [(b"", True), (PLAIN[:-1], False)])
async def test_a_connection_that_ends_too_early_says_what_had_come(sent: bytes, untouched: bool) -> None:
    connection, _ = connected()

    def send() -> None:
        connection.data_received(sent)
        connection.connection_lost(None)

    with pytest.raises(Dropped) as caught:
        await exchange(connection, send)
    assert caught.value.untouched is untouched
    with pytest.raises(Dropped):
        await connection.exchange(b"")


async def test_an_answer_to_nothing_ends_the_connection() -> None:
    connection, transport = connected()
    connection.data_received(PLAIN)
    assert transport.aborted


class Server:
    """Answers, and closes a connection after so many answers without saying so."""

    def __init__(self, answers: int) -> None:
        self.heads: list[str] = []
        self.connections = 0
        self._answers = answers

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            for _ in range(self._answers):
                self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                writer.write(PLAIN)
            await reader.readuntil(b"\r\n\r\n")


@contextlib.asynccontextmanager
async def pool(server: Server, prefix: str = "") -> AsyncIterator[Pool]:
    made = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = cast(tuple[socket.socket, ...], made.sockets)[0].getsockname()[1]
    kept = Pool(f"http://127.0.0.1:{port}{prefix}", None, limit=1, connect_seconds=10)
    async with made:
        try:
            yield kept
        finally:
            await kept.close()


async def test_a_kept_connection_that_was_closed_is_replaced_where_a_request_may_be_repeated() -> None:
    server = Server(answers=1)
    async with pool(server) as kept:
        for _ in range(3):
            assert await kept.send(Request("GET", "/api", {}, [])) == Answer(200, b"hello")
        assert server.connections == 3
        with pytest.raises(Dropped):
            await kept.send(Request("POST", "/api", {}, [], b"{}"))
        assert len(server.heads) == 3


async def test_a_request_is_written_so_that_it_stays_one() -> None:
    server = Server(answers=2)
    async with pool(server, "/k8s/clusters/a/") as kept:
        await kept.send(Request("GET", "/a b\r\nX: y/%2F", {"labelSelector": "a=b,c"}, [("X-Name", "ü")]))
        first, *rest = server.heads[0].split("\r\n")
        assert first == "GET /k8s/clusters/a/a%20b%0D%0AX:%20y/%2F?labelSelector=a%3Db%2Cc HTTP/1.1"
        assert rest[0].startswith("Host: 127.0.0.1:")
        with pytest.raises(ValueError, match="more than one line"):
            await kept.send(Request("GET", "/", {}, [("Impersonate-User", "a\r\nX: y")]))
        await kept.send(Request("DELETE", "/", {}, []))
    assert len(server.heads) == 2
