"""A kubelet's streaming server in EdgeCore: SPDY and WebSocket to a process, and to ports."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.component.edged.spdy_client import HEADERS, PORTS, Client, request
from tests.edgecore.edged.joined import FakeJoining, Played
from tests.edgecore.websocket_client import Client as WebSocketClient

from edgelab.cri.joining import Wanted
from edgelab.daemon.tasks import Supervisor
from edgelab.edgecore.edged.streams.options import ports, stream_options
from edgelab.edgecore.edged.streams.serving.server import Server
from edgelab.edgecore.kubelet import Pipe, Refused, Request

WEBSOCKET = {"Connection": ["Upgrade"], "Upgrade": ["websocket"]}
ALL = Wanted(stdin=True, stdout=True, stderr=True, tty=False)


class Here:
    """The server as `Streams` puts it: `connect` by path."""

    def __init__(self, joining: FakeJoining) -> None:
        self.joining = joining
        self.tasks = Supervisor("test")
        self.server = Server(joining, self.tasks)

    async def connect(self, asked: Request) -> Pipe:
        if asked.path == "/portForward":
            return await self.server.ports(asked, "s1", ports(asked.query))
        wanted = stream_options(asked.query)
        if asked.path == "/attach":
            return await self.server.attach(asked, "c1", wanted.streams)
        return await self.server.exec(asked, "c1", wanted.command, wanted.streams)


@asynccontextmanager
async def here(play: Callable[[Played], Any] | None = None) -> AsyncIterator[Here]:
    made = Here(FakeJoining(play))
    try:
        yield made
    finally:
        await made.tasks.close()


async def connected(made: Here, asked: Request) -> Client:
    client = Client(await made.connect(asked))
    assert (await client.upgraded()).startswith(b"HTTP/1.1 101 ")
    return client


async def until(check: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not check():
            await asyncio.sleep(0.01)


async def echo(process: Played) -> int:
    while (data := await process.stdin.get()) is not None:
        await process.out(data)
    await process.out(b"oops", "stderr")
    return 3


async def test_a_command_by_spdy_has_its_streams_and_tells_its_exit_code() -> None:
    async with here(echo) as made:
        client = await connected(made, request("/exec", "input=1&output=1&error=1&command=a&command=b"))
        client.open_all("error", "stdin", "stdout", "stderr")
        data = bytes(range(256)) * 2000
        client.send("stdin", data, final=True)
        found = await client.outputs()
        client.close()
        assert (found["stdout"], found["stderr"]) == (data, b"oops")
        assert json.loads(found["error"]) == {
            "metadata": {},
            "status": "Failure",
            "message": "command terminated with non-zero exit code: exit status 3",
            "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": "3"}]},
        }
        assert made.joining.asked == [("c1", ("a", "b"), ALL)]
        await until(lambda: not made.tasks._tasks)


async def test_sizes_reach_the_terminal_and_nonsense_does_not() -> None:
    async def sized(process: Played) -> int:
        while len(process.sizes) < 2:
            await asyncio.sleep(0.01)
        return 0

    async with here(sized) as made:
        client = await connected(made, request("/attach", "input=1&output=1&error=1&tty=1"))
        client.open_all("error", "stdin", "stdout", "resize")
        sizes = (
            b'{"Width":80,"Height":24}',
            b"nonsense",
            b'{"Width":0,"Height":24}',
            b'{"Width":100,"Height":30}',
        )
        for size in sizes:
            client.send("resize", size)
        process = None
        await until(lambda: made.joining.running)
        [process] = made.joining.running
        found = await client.outputs()
        client.close()
        assert process.sizes == [(80, 24), (100, 30)]
        assert json.loads(found["error"]) == {"metadata": {}, "status": "Success"}


async def test_a_runtime_that_refuses_is_told_on_the_error_stream() -> None:
    async with here() as made:
        client = await connected(made, request("/exec", "output=1&command=a"))
        client.open_all("error", "stdout")
        status = json.loads((await client.outputs())["error"])
        client.close()
        assert (status["reason"], status["code"]) == ("InternalError", 500)
        assert status["message"] == "Internal error occurred: container c1 is paused"


async def test_a_client_that_goes_ends_what_it_ran_even_when_nothing_is_read_or_taken() -> None:
    async def endless(process: Played) -> int:
        while True:
            await process.out(b"x" * 32768)

    async with here(endless) as made:
        client = await connected(made, request("/exec", "input=1&output=1&command=a"))
        client.open_all("error", "stdin", "stdout")
        client.pipe.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send("stdin", b"y" * 200_000)  # which the command does not read
        await until(lambda: made.joining.running and made.joining.running[0].sent > 0)
        [process] = made.joining.running
        held = -1
        while process.sent != held:
            held = process.sent
            await asyncio.sleep(0.2)
        assert held < 4 << 20, "a client that does not read holds the command up"
        client.pipe.writer.transport.abort()
        await until(lambda: not made.joining.running and not made.tasks._tasks)


async def test_what_was_said_before_the_end_is_there_for_a_client_that_still_writes() -> None:
    async def brief(process: Played) -> int:
        await process.out(b"done" * 1000)
        return 0

    async with here(brief) as made:
        client = await connected(made, request("/exec", "input=1&output=1&command=a"))
        client.open_all("error", "stdin", "stdout")
        for _ in range(100):
            client.send("stdin", b"z" * 1000)
            await asyncio.sleep(0)
        found = await client.outputs()
        client.close()
        assert found["stdout"] == b"done" * 1000
        assert json.loads(found["error"])["status"] == "Success"


async def test_what_is_not_our_protocol_is_refused_or_ended() -> None:
    async with here(echo) as made:
        for headers, status in (
            ({}, 400),
            ({"Connection": ["Upgrade"], "Upgrade": ["h2c"]}, 400),
            ({**HEADERS, "X-Stream-Protocol-Version": ["v1.channel.k8s.io"]}, 403),
            ({"Connection": ["Upgrade"], "Upgrade": ["websocket"], "Sec-Websocket-Protocol": ["x"]}, 403),
            (
                {
                    "Connection": ["Upgrade"],
                    "Upgrade": ["websocket"],
                    "Sec-Websocket-Protocol": ["v4.channel.k8s.io"],
                },
                400,
            ),
        ):
            with pytest.raises(Refused) as refused:
                await made.connect(Request("GET", "/exec", "output=1&command=a", headers))
            assert refused.value.status == status
        client = await connected(made, request("/exec", "output=1&command=a"))
        client.pipe.writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await client.pipe.reader.read() == b""
        client.close()
        client = await connected(made, request("/exec", "output=1&command=a"))
        client.open_all("error", "other")
        await client.outputs()
        client.close()
        assert made.joining.asked == []
        await until(lambda: not made.tasks._tasks)


@pytest.mark.parametrize("protocol", ["v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"])
async def test_a_command_by_websocket(protocol: str) -> None:
    async def one(process: Played) -> int:
        await process.out(await process.stdin.get() or b"")
        if protocol.startswith("v5"):
            assert await process.stdin.get() is None
        await process.out(b"oops", "stderr")
        return 3

    async with here(one) as made:
        client = await WebSocketClient.connected(
            made, "/exec", "input=1&output=1&error=1&command=a", protocol
        )
        client.send(0, b"\x00\xff")
        if protocol.startswith("v5"):
            client.send(255, b"\x00")
        found = await client.received()
        assert (found[1], found[2]) == (b"\x00\xff", b"oops")
        assert json.loads(found[3])["details"]["causes"][0]["message"] == "3"


async def test_a_websocket_that_says_good_bye_ends_its_command() -> None:
    async with here(echo) as made:
        client = await WebSocketClient.connected(
            made, "/exec", "input=1&output=1&command=a", "v4.channel.k8s.io"
        )
        await until(lambda: made.joining.running)
        client._websocket.send_close(1000)
        client.flush()
        await until(lambda: not made.joining.running)
        client.pipe.writer.transport.abort()
        await until(lambda: not made.tasks._tasks)


@asynccontextmanager
async def listener(serve: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[str]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield str(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        await server.wait_closed()
        gc.collect()


async def backwards(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers after the end of what it is sent."""
    writer.write((await reader.read())[::-1])
    writer.close()


async def test_ports_by_spdy_each_with_its_own_streams_and_half_close() -> None:
    async with listener(backwards) as port, here() as made:
        client = await connected(made, request("/portForward", headers=PORTS))
        for number, where in (("0", port), ("1", "1"), ("2", port)):
            for kind in ("error", "data"):
                client.open(f"{kind}{number}", {"streamtype": kind, "port": where, "requestid": number})
        client.send("data2", b"cd" * 50_000, final=True)
        client.send("data0", b"ab", final=True)
        found = dict.fromkeys(client.names.values(), b"")
        ended: set[str] = set()
        async for name, data, final in client.frames():
            found[name] += data
            ended |= {name} if final else set()
            if len(ended) == 6:
                break
        assert (found["data0"], found["data2"]) == (b"ba", b"dc" * 50_000)
        assert found["error1"] == b"error forwarding port 1: Connection refused"
        assert found["error0"] == found["error2"] == found["data1"] == b""
        client.close()
        await until(lambda: not made.tasks._tasks)


async def test_a_port_that_takes_nothing_does_not_keep_the_others_from_working(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("edgelab.edgecore.edged.streams.serving.forwarding.PATIENCE", 0.3)
    full = asyncio.Event()

    async def deaf(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await full.wait()
        writer.close()

    async with listener(deaf) as stuck, listener(backwards) as port, here() as made:
        client = await connected(made, request("/portForward", headers=PORTS))
        for number, where in (("0", stuck), ("1", port)):
            for kind in ("error", "data"):
                client.open(f"{kind}{number}", {"streamtype": kind, "port": where, "requestid": number})

        async def flood() -> None:
            for _ in range(400):
                client.send("data0", b"x" * 32768)
                await client.pipe.writer.drain()
            client.send("data1", b"ab", final=True)

        flooding = asyncio.create_task(flood())
        found = dict.fromkeys(client.names.values(), b"")
        async for name, data, final in client.frames():
            found[name] += data
            if name == "data1" and final:
                break
        await flooding
        full.set()
        client.close()
        assert found["data1"] == b"ba"
        assert b"does not take what is sent" in found["error0"]
        await until(lambda: not made.tasks._tasks)


async def test_ports_by_websocket_have_two_channels_each() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello " + await reader.readexactly(3))
        writer.close()

    async with listener(greet) as port, here() as made:
        client = await WebSocketClient.connected(
            made, "/portForward", f"port={port}&port=1", "v4.channel.k8s.io"
        )
        client.send(0, b"you")
        found = await client.received()
        first = int(port).to_bytes(2, "little")
        assert (found[0], found[1]) == (first + b"hello you", first)
        assert (found[2], found[3]) == (b"\1\0", b"\1\0error forwarding port 1: Connection refused")
        await until(lambda: not made.tasks._tasks)
