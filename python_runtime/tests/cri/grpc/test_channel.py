"""Calls against grpclib's server, and against peers that break the rules."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from grpclib.server import Server, Stream

from edgelab.cri.grpc import frames, hpack
from edgelab.cri.grpc.channel import CallFailed, Channel
from edgelab.cri.grpc.connection import ConnectionLost
from edgelab.cri.grpc.frames import Code, Frame, Kind, Setting
from edgelab.cri.grpc.stream import StreamReset

PATH = "/test.Echo/Call"
OK = hpack.encode([(b":status", b"200"), (b"content-type", b"application/grpc"), (b"grpc-status", b"0")])


class Plain(CodecBase):
    __content_subtype__ = "proto"

    def encode(self, message: Any, message_type: Any) -> bytes:
        return bytes(message)

    def decode(self, data: bytes, message_type: Any) -> Any:
        return data


Work = Callable[[bytes], Awaitable[bytes]]


class Echo:
    def __init__(self, work: Work) -> None:
        self.work = work

    def __mapping__(self) -> dict[str, Handler]:
        async def serve(stream: Stream[Any, Any]) -> None:
            await stream.send_message(await self.work(await stream.recv_message()))

        return {PATH: Handler(serve, Cardinality.UNARY_UNARY, bytes, bytes)}


@asynccontextmanager
async def serving(path: Path, work: Work) -> AsyncIterator[Channel]:
    server = Server([Echo(work)], codec=Plain())
    await server.start(path=str(path))
    channel = Channel.unix(str(path))
    try:
        yield channel
    finally:
        channel.close()
        server.close()
        await server.wait_closed()


async def echo(message: bytes) -> bytes:
    return message


Peer = Callable[[Frame, asyncio.Transport], None]


class RawServer(asyncio.Protocol):
    """Answers each frame as `peer` says."""

    def __init__(self, peer: Peer, greeting: bytes) -> None:
        self.peer = peer
        self.greeting = greeting
        self.buffer = bytearray()
        self.is_greeted = False
        self.ended = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self.greeting)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if not self.is_greeted and len(self.buffer) >= len(frames.PREFACE):
            del self.buffer[: len(frames.PREFACE)]
            self.is_greeted = True
        for frame in frames.unpack(self.buffer):
            self.peer(frame, self.transport)


@asynccontextmanager
async def raw(path: Path, peer: Peer, greeting: bytes = frames.settings({})) -> AsyncIterator[Channel]:
    connections: list[RawServer] = []

    def accept() -> RawServer:
        connections.append(RawServer(peer, greeting))
        return connections[-1]

    server = await asyncio.get_running_loop().create_unix_server(accept, str(path))
    channel = Channel.unix(str(path))
    try:
        yield channel
    finally:
        channel.close()
        server.close()
        for connection in connections:
            await asyncio.wait_for(connection.ended.wait(), 30)


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "s"


async def test_messages_of_every_size_come_back(socket: Path) -> None:
    async with serving(socket, echo) as channel:
        for size in (0, 1, 16379, 16380, 65535, 300_000, 9 << 20):
            message = bytes([size % 251]) * size
            assert await channel.call(PATH, message, 60) == message


async def test_many_calls_share_one_connection(socket: Path) -> None:
    async with serving(socket, echo) as channel:
        calls = [channel.call(PATH, b"%d" % number * 9000, 60) for number in range(40)]
        assert await asyncio.gather(*calls) == [b"%d" % number * 9000 for number in range(40)]


async def test_an_error_keeps_its_status_and_its_text(socket: Path) -> None:
    async def refuse(_: bytes) -> bytes:
        raise GRPCError(Status.NOT_FOUND, "kein Behälter: 100 %")

    async with serving(socket, refuse) as channel:
        with pytest.raises(CallFailed, match="kein Behälter: 100 %") as caught:
            await channel.call(PATH, b"", 60)
        assert caught.value.status.name == "NOT_FOUND"
        with pytest.raises(CallFailed) as caught:
            await channel.call("/test.Echo/Nothing", b"", 60)
        assert caught.value.status.name == "UNIMPLEMENTED"


async def test_who_gives_up_ends_the_work_of_the_server(socket: Path) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def sleep(_: bytes) -> bytes:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    async with serving(socket, sleep) as channel:
        call = asyncio.create_task(channel.call(PATH, b"", 60))
        await asyncio.wait_for(begun.wait(), 30)
        call.cancel()
        await asyncio.wait_for(ended.wait(), 30)
        with pytest.raises(TimeoutError):
            await channel.call(PATH, b"", 0.05)
        with pytest.raises(CallFailed, match="not found"):  # and the connection is as good as before
            await channel.call("/test.Echo/Nothing", b"", 60)


async def test_a_lost_connection_is_made_again(socket: Path) -> None:
    async with serving(socket, echo) as channel:
        assert await channel.call(PATH, b"1", 60) == b"1"
    socket.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        await channel.call(PATH, b"2", 60)
    async with serving(socket, echo):
        assert await channel.call(PATH, b"3", 60) == b"3"
        channel.close()


async def test_headers_in_pieces_padding_pings_and_unknown_frames_are_taken(socket: Path) -> None:
    seen: list[Frame] = []

    def peer(frame: Frame, writer: asyncio.Transport) -> None:
        seen.append(frame)
        if frame.kind == Kind.DATA:
            one = frame.stream
            writer.write(frames.pack(Kind.PING, 0, 0, b"12345678"))
            writer.write(b"\0\0\1\x77\0\0\0\0\0?")
            padded = frames.PADDED | frames.PRIORITY_FIELDS
            block = bytes([2]) + bytes(5) + OK[:9] + bytes(2)
            writer.write(frames.pack(Kind.HEADERS, padded, one, block))
            writer.write(frames.pack(Kind.CONTINUATION, 0, one, OK[9:20]))
            writer.write(frames.pack(Kind.CONTINUATION, frames.END_HEADERS, one, OK[20:]))
            body = bytes([3]) + b"\0\0\0\0\2hi" + bytes(3)
            writer.write(frames.pack(Kind.DATA, frames.PADDED | frames.END_STREAM, one, body))

    async with raw(socket, peer) as channel:
        assert await channel.call(PATH, b"", 60) == b"hi"
        assert await channel.call(PATH, b"", 60) == b"hi"
    answers = [frame for frame in seen if frame.kind == Kind.PING]
    assert [(frame.flags, frame.payload) for frame in answers][:1] == [(frames.ACK, b"12345678")]


async def test_a_request_waits_for_the_windows_of_its_peer(socket: Path) -> None:
    received = bytearray()

    def peer(frame: Frame, writer: asyncio.Transport) -> None:
        if frame.kind == Kind.DATA:
            received.extend(frame.payload)
            assert len(frame.payload) <= 10
            if frame.flags & frames.END_STREAM:
                writer.write(frames.pack(Kind.HEADERS, frames.END_HEADERS, frame.stream, OK))
                writer.write(frames.pack(Kind.DATA, frames.END_STREAM, frame.stream, bytes(5)))
            else:
                writer.write(frames.window_update(frame.stream, 10))

    async with raw(socket, peer, frames.settings({Setting.INITIAL_WINDOW_SIZE: 10})) as channel:
        await channel.call("/a/warm", b"", 60)  # from here on the peer's settings are known
        received.clear()
        assert await channel.call(PATH, b"x" * 95, 60) == b""
    assert received == b"\0\0\0\0\x5f" + b"x" * 95


async def test_no_more_calls_at_once_than_the_peer_allows(socket: Path) -> None:
    waiting: list[int] = []
    most = 0

    def peer(frame: Frame, writer: asyncio.Transport) -> None:
        nonlocal most
        if frame.kind == Kind.DATA:
            waiting.append(frame.stream)
            most = max(most, len(waiting))
            asyncio.get_running_loop().call_soon(answer, writer)

    def answer(writer: asyncio.Transport) -> None:
        stream = waiting.pop()
        writer.write(frames.pack(Kind.HEADERS, frames.END_HEADERS, stream, OK))
        writer.write(frames.pack(Kind.DATA, frames.END_STREAM, stream, bytes(5)))

    async with raw(socket, peer, frames.settings({Setting.MAX_CONCURRENT_STREAMS: 2})) as channel:
        await channel.call(PATH, b"", 60)
        await asyncio.gather(*(channel.call(PATH, b"", 60) for _ in range(9)))
    assert most <= 2


async def test_a_peer_that_goes_away_politely_is_left_and_found_again(socket: Path) -> None:
    connections = 0

    def peer(frame: Frame, writer: asyncio.Transport) -> None:
        nonlocal connections
        connections += frame.kind == Kind.HEADERS and frame.stream == 1
        if frame.kind == Kind.DATA:
            writer.write(frames.pack(Kind.GOAWAY, 0, 0, frame.stream.to_bytes(4) + bytes(4)))
            writer.write(frames.pack(Kind.HEADERS, frames.END_HEADERS, frame.stream, OK))
            writer.write(frames.pack(Kind.DATA, frames.END_STREAM, frame.stream, bytes(5)))

    async with raw(socket, peer) as channel:
        assert [await channel.call(PATH, b"", 60) for _ in range(3)] == [b""] * 3
    assert connections == 3


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (frames.reset(1, Code.ENHANCE_YOUR_CALM), StreamReset, "ENHANCE_YOUR_CALM"),
        (frames.reset(1, 77), StreamReset, "error 77"),  # type: ignore[arg-type]
        (frames.pack(Kind.GOAWAY, 0, 0, bytes(8)), ConnectionLost, "about to close"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", ConnectionLost, "is that gRPC"),
        (frames.pack(Kind.PUSH_PROMISE, 0, 1), ConnectionLost, "pushes"),
        (frames.pack(Kind.CONTINUATION, 0, 1), ConnectionLost, "continuation of nothing"),
        (frames.pack(Kind.HEADERS, 0, 1) + frames.pack(Kind.DATA, 0, 1), ConnectionLost, "interrupted"),
        (frames.pack(Kind.HEADERS, frames.END_HEADERS, 1, b"\x80"), ConnectionLost, "header 0"),
        (frames.pack(Kind.SETTINGS, 0, 0, b"12345"), ConnectionLost, "wrong size"),
        (frames.pack(Kind.WINDOW_UPDATE, 0, 0), ConnectionLost, "too short"),
        (frames.pack(Kind.DATA, frames.PADDED, 1, b"\x09"), ConnectionLost, "more padding"),
        (frames.pack(Kind.HEADERS, 5, 1, hpack.encode([(b":status", b"503")])), CallFailed, "status 503"),
        (frames.pack(Kind.HEADERS, 5, 1, OK), CallFailed, "not one message"),
        (
            frames.pack(Kind.HEADERS, 4, 1, OK) + frames.pack(Kind.DATA, 1, 1, b"\1\0\0\0\0"),
            CallFailed,
            "compressed",
        ),
        (
            frames.pack(Kind.HEADERS, 5, 1, hpack.encode([(b"grpc-status", b"99")])),
            CallFailed,
            "UNKNOWN",
        ),
    ],
)
async def test_what_a_bad_peer_does_is_said(
    socket: Path, answer: bytes, error: type[Exception], words: str
) -> None:
    def peer(frame: Frame, writer: asyncio.Transport) -> None:
        if frame.kind == Kind.DATA:
            writer.write(answer)

    async with raw(socket, peer) as channel:
        with pytest.raises(error, match=words):
            await channel.call(PATH, b"", 60)
