"""EdgeStream against a cloud of frames: recorded sessions of the original, and what goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, cast

import msgspec
import pytest
from tests.protocol.tunnel_recordings import Recorded, connections

from edgelab.cri.errors import CriError
from edgelab.cri.runtime import Runtime
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.errors import Unreachable
from edgelab.edgecore.edged.streams import routes
from edgelab.edgecore.edged.streams.routes import Streams
from edgelab.edgecore.edgehub.link import Disconnected
from edgelab.edgecore.edgestream import tunnel as tunnels
from edgelab.edgecore.edgestream.module import EdgeStream
from edgelab.edgecore.edgestream.tunnel import Closed, Tunnel
from edgelab.edgecore.kubelet import Answer, Pipe, Refused, Request
from edgelab.protocol import tunnel as wire
from edgelab.protocol.tunnel import Connect, Frame, Kind

END = object()


class Wire:
    """The WebSocket: the test puts frames in and takes frames out. `stuck` lets no message out."""

    def __init__(self) -> None:
        self.down: asyncio.Queue[bytes] = asyncio.Queue()
        self.up: asyncio.Queue[Frame] = asyncio.Queue()
        self.pings = 0
        self.ended = asyncio.Event()
        self.largest = 0

    def ping(self, data: bytes) -> None:
        assert data == b"ping you"
        self.pings += 1

    def abort(self) -> None:
        self.ended.set()

    async def send(self, frame: bytes) -> None:
        if self.ended.is_set():
            raise Disconnected("cut")
        found = wire.decode(frame)
        self.largest = max(self.largest, len(found.data))
        self.up.put_nowait(found)

    async def receive(self) -> bytes:
        getting = asyncio.ensure_future(self.down.get())
        ending = asyncio.ensure_future(self.ended.wait())
        try:
            await asyncio.wait((getting, ending), return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                return getting.result()
            raise Disconnected("cut")
        finally:
            getting.cancel()
            ending.cancel()

    def put(self, connection: int, kind: int, data: bytes = b"") -> None:
        self.down.put_nowait(wire.encode(connection, kind, data))

    def ask(self, number: int, kind: Kind, path: str, method: str = "") -> None:
        self.put(number, kind, wire.connect(number, path, "", {}, method))

    async def next(self) -> Frame:
        return await asyncio.wait_for(self.up.get(), 10)


class Kubelet:
    """Answers what it was given; a pipe is one end of a pair of sockets, `other` has the other one."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.body: bytes | None = b""
        self.refusal: Refused | None = None
        self.other: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self.writers: list[asyncio.StreamWriter] = []
        self.closed = 0

    async def get(self, request: Request) -> Answer:
        self.requests.append(request)
        if self.refusal:
            raise self.refusal
        return Answer(self._body())

    async def _body(self) -> AsyncGenerator[bytes, None]:
        try:
            while self.body is None:
                yield b"x" * 65536
                await asyncio.sleep(0)
            yield self.body
        finally:
            self.closed += 1

    async def connect(self, request: Request) -> Pipe:
        self.requests.append(request)
        if self.refusal:
            raise self.refusal
        one, two = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=two)
        self.writers.append(writer)
        self.other.put_nowait((reader, writer))
        return Pipe(*await asyncio.open_connection(sock=one))


class Bench:
    def __init__(self, *, extended: bool) -> None:
        self.wire = Wire()
        self.kubelet = Kubelet()
        self.tunnel = Tunnel(self.wire, self.kubelet, SYSTEM, extended=extended)


@contextlib.asynccontextmanager
async def running(*, extended: bool = False) -> AsyncIterator[Bench]:
    bench = Bench(extended=extended)
    task = asyncio.create_task(bench.tunnel.run())
    try:
        yield bench
    finally:
        bench.wire.abort()
        with pytest.raises((Disconnected, Closed)):
            await asyncio.wait_for(task, 10)
        for writer in bench.kubelet.writers:
            writer.transport.abort()
        await asyncio.sleep(0)
        assert not bench.tunnel.relays


READ = [c for c in connections() if c.kind in (Kind.LOGS, Kind.METRICS)]
JOINED = [c for c in connections() if c.kind in (Kind.EXEC, Kind.ATTACH)]


def name(recorded: Recorded) -> str:
    return f"{recorded.opening.connection}{recorded.connect.url.Path}"


async def collected(bench: Bench, number: int) -> bytes:
    data = b""
    while (frame := await bench.wire.next()).kind != Kind.REMOVE:
        assert (frame.connection, frame.kind) == (number, Kind.DATA)
        data += frame.data
    return data


@pytest.mark.parametrize("recorded", READ, ids=name)
async def test_recorded_logs_and_pages_come_as_the_original_sends_them(recorded: Recorded) -> None:
    async with running() as bench:
        bench.kubelet.body = recorded.sent("edge")
        bench.wire.put(*recorded.opening)
        assert await collected(bench, recorded.opening.connection) == recorded.sent("edge")
        url = recorded.connect.url
        asked = bench.kubelet.requests[0]
        assert (asked.method, asked.path, asked.query) == ("GET", url.Path, url.RawQuery)
        assert bench.wire.up.empty()


@pytest.mark.parametrize("recorded", JOINED, ids=name)
async def test_recorded_commands_are_passed_on_byte_by_byte(recorded: Recorded) -> None:
    async with running() as bench:
        bench.wire.put(*recorded.opening)
        reader, writer = await bench.kubelet.other.get()
        assert bench.kubelet.requests[0].method == "POST"
        assert bench.kubelet.requests[0].headers == recorded.connect.header
        for side, frame in recorded.frames:
            if side == "cloud" and frame.kind == Kind.DATA:
                bench.wire.put(*frame)
                assert await asyncio.wait_for(reader.readexactly(len(frame.data)), 10) == frame.data
            elif side == "edge" and frame.kind == Kind.DATA:
                writer.write(frame.data)
        writer.close()
        assert await collected(bench, recorded.opening.connection) == recorded.sent("edge")


async def test_our_cloud_is_told_how_a_request_ended() -> None:
    async with running(extended=True) as bench:
        bench.kubelet.refusal = Refused(404, "pod does not exist")
        bench.wire.ask(7, Kind.LOGS, "/containerLogs/default/x/c")
        head = await bench.wire.next()
        assert (head.kind, wire.read_head(head.data).status) == (Kind.HEAD, 404)
        assert (await bench.wire.next()).data == b"pod does not exist\n"
        assert await bench.wire.next() == (7, Kind.REMOVE, b"")


async def test_who_cannot_be_joined_gets_a_whole_answer() -> None:
    async with running() as bench:
        bench.kubelet.refusal = Refused(503, "no container runtime")
        bench.wire.ask(7, Kind.EXEC, "/exec/default/x/c", "POST")
        answer = await collected(bench, 7)
        assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert answer.endswith(b"\r\n\r\nno container runtime\n")


async def test_a_cloud_that_takes_nothing_holds_up_one_connection_and_not_the_others() -> None:
    async with running(extended=True) as bench:
        bench.kubelet.body = None  # without an end
        bench.wire.ask(1, Kind.LOGS, "/containerLogs/default/endless/c")
        got = 0
        assert (await bench.wire.next()).kind == Kind.HEAD
        while got < wire.WINDOW:
            got += len((await bench.wire.next()).data)
        await asyncio.sleep(0.1)
        assert bench.wire.up.empty()
        assert got == wire.WINDOW
        bench.kubelet.body = b"other"
        bench.wire.ask(2, Kind.LOGS, "/containerLogs/default/other/c")
        kinds = [(await bench.wire.next()).kind for _ in range(3)]
        assert kinds == [Kind.HEAD, Kind.DATA, Kind.REMOVE]
        bench.kubelet.body = None
        bench.wire.put(1, Kind.CREDIT, wire.uvarint(1000))
        assert len((await bench.wire.next()).data) == 1000
        bench.wire.put(1, Kind.REMOVE)
        assert await bench.wire.next() == (1, Kind.REMOVE, b"")
        assert bench.kubelet.closed == 2
        assert bench.wire.largest <= wire.CHUNK


async def test_a_command_that_reads_nothing_is_given_no_more_than_there_is_room_for() -> None:
    async with running(extended=True) as bench:
        bench.wire.ask(1, Kind.EXEC, "/exec/default/x/c", "POST")
        _, writer = await bench.kubelet.other.get()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(200):  # a cloud that heeds no credit
            bench.wire.put(1, Kind.DATA, bytes(wire.CHUNK))
        while (frame := await bench.wire.next()).kind == Kind.CREDIT:
            pass
        assert frame == (1, Kind.REMOVE, b"")
        writer.close()


async def test_a_cloud_of_the_original_is_held_up_and_then_the_connection_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tunnels, "STALL_SECONDS", 0.2)
    async with running() as bench:
        bench.wire.ask(1, Kind.EXEC, "/exec/default/x/c", "POST")
        _, writer = await bench.kubelet.other.get()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(200):
            bench.wire.put(1, Kind.DATA, bytes(wire.CHUNK))
        assert await bench.wire.next() == (1, Kind.REMOVE, b"")
        writer.close()


async def test_what_is_no_frame_of_anybody_changes_nothing() -> None:
    async with running() as bench:
        bench.wire.down.put_nowait(b"\xff")
        bench.wire.put(5, Kind.DATA, b"for nobody")
        bench.wire.put(5, Kind.REMOVE)
        bench.wire.put(5, 99, b"?")
        bench.wire.put(6, Kind.LOGS, b"{}")
        bench.kubelet.body = b"log"
        bench.wire.ask(7, Kind.LOGS, "/containerLogs/default/x/c")
        assert await collected(bench, 7) == b"log"
        assert len(bench.kubelet.requests) == 1


async def test_a_cloud_that_closes_says_why_and_everything_ends() -> None:
    bench = Bench(extended=False)
    bench.kubelet.body = None
    task = asyncio.create_task(bench.tunnel.run())
    bench.wire.ask(1, Kind.LOGS, "/containerLogs/default/endless/c")
    await bench.wire.next()
    bench.wire.put(0, Kind.CLOSE, b"failed to Update KubeletEndpoint Port")
    with pytest.raises(Closed, match="KubeletEndpoint"):
        await asyncio.wait_for(task, 10)
    assert not bench.tunnel.relays
    assert bench.kubelet.closed == 1


async def test_many_connections_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnels, "MOST", 3)
    async with running() as bench:
        for number in range(1, 5):
            bench.wire.ask(number, Kind.EXEC, "/exec/default/x/c", "POST")
        assert await bench.wire.next() == (4, Kind.REMOVE, b"")
        assert len(bench.tunnel.relays) == 3


@pytest.mark.parametrize(
    ("code", "status"),
    [("UNIMPLEMENTED", 501), ("NOT_FOUND", 404), ("RESOURCE_EXHAUSTED", 429), ("UNKNOWN", 500)],
)
async def test_what_the_runtime_refuses_has_a_status(code: str, status: int) -> None:
    class Refusing(Runtime):
        async def list_sandboxes(self, labels: Any = None) -> Any:
            raise CriError(code, f"the runtime says {code}")

    streams = Streams(Refusing("unix:///nowhere"), lambda *_: {"metadata": {"uid": "1"}}, SYSTEM)
    with pytest.raises(Refused, match=f"the runtime says {code}") as refused:
        await streams.connect(Request("POST", "/portForward/default/x", "", {}))
    assert refused.value.status == status


async def test_who_asks_before_the_pods_are_known_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "START_SECONDS", 0.05)
    begun = asyncio.Event()
    streams = Streams(Runtime("unix:///nowhere"), lambda *_: None, SYSTEM, begun)
    with pytest.raises(Refused, match="has just started"):
        await streams.get(Request("GET", "/containerLogs/default/x/c", "", {}))
    begun.set()
    with pytest.raises(Refused, match="pod does not exist"):
        await streams.get(Request("GET", "/containerLogs/default/x/c", "", {}))


class Hasty:
    """A clock whose sleeps take no time of ours."""

    def __init__(self) -> None:
        self.time = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


async def test_a_cloud_without_a_tunnel_is_told_of_once_each_way_until_one_has_stood(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Hasty()
    causes = itertools.cycle([Unreachable("refused"), Unreachable("no route"), Disconnected("cut")])
    stream = EdgeStream(lambda: pytest.fail("not asked for"), Kubelet(), cast("Clock", clock), cap=30)
    lasts = [0.0]

    async def once() -> None:
        clock.time += lasts[0]
        raise next(causes)

    monkeypatch.setattr(stream, "_once", once)
    task = asyncio.create_task(stream.run())
    try:
        async with asyncio.timeout(20):
            while len(clock.slept) < 30:
                await asyncio.sleep(0)
            assert sorted(caplog.messages) == [
                f"no tunnel to CloudStream: {cause}; trying again" for cause in ("cut", "no route", "refused")
            ]
            assert max(clock.slept) <= 30
            assert sum(clock.slept[10:]) / len(clock.slept[10:]) > 5, "the attempts become rare"
            lasts[0], before = 61.0, len(clock.slept)
            while len(clock.slept) < before + 2:
                await asyncio.sleep(0)
        assert len(caplog.messages) >= 5, "a tunnel has stood: what ends it is told again"
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_connect_without_header_is_read() -> None:
    data = msgspec.json.encode(Connect(1, wire.Url(Path="/x")))
    assert wire.read_connect(data).header is None
