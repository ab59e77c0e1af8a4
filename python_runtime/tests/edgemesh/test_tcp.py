"""TCP through the proxy, on loopback addresses instead of what netfilter does."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from edgelab.edgemesh.proxy.balance import Balancer
from edgelab.edgemesh.proxy.dial import Direct
from edgelab.edgemesh.proxy.tcp import TcpProxy
from edgelab.edgemesh.table import ROUND_ROBIN, Endpoint, ServicePort

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
CLUSTER_IP = "127.96.0.10"


class Proxy:
    """One listener on all loopback addresses: what a client connected to is the socket's own address."""

    def __init__(self, most: int = 4096) -> None:
        self.tcp = TcpProxy(
            Balancer("edge1"), Direct(), destination=lambda sock: sock.getsockname(), most=most
        )
        self.port = self.tcp.start("0.0.0.0")
        self.task = asyncio.create_task(self.tcp.run())
        self.servers: list[asyncio.Server] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.got = bytearray()
        """What the echo was sent."""

    async def serve(self, answer: Serve) -> int:
        """A server; its port."""

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.writers.append(writer)
            await answer(reader, writer)

        self.servers.append(await asyncio.start_server(connected, "127.0.0.1", 0, limit=1024))
        return int(self.servers[-1].sockets[0].getsockname()[1])

    async def named(self, name: bytes) -> int:
        """A server that sends its name and closes."""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(name)
            writer.close()

        return await self.serve(answer)

    async def echo(self) -> int:
        """A server that sends back what came, when that has ended."""

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                while data := await reader.read(1 << 16):
                    self.got += data
                writer.write(self.got)
            writer.close()

        return await self.serve(answer)

    def use(self, *ports: int, node: str = "edge1") -> None:
        endpoints = tuple(Endpoint("127.0.0.1", port, node) for port in ports)
        self.tcp.use(
            [ServicePort("default", "web", "", "TCP", self.port, (CLUSTER_IP,), endpoints, 0, ROUND_ROBIN)]
        )

    async def connect(self, ip: str = CLUSTER_IP) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(ip, self.port)
        self.writers.append(writer)
        return reader, writer

    async def ask(self) -> bytes:
        reader, writer = await self.connect()
        try:
            return await asyncio.wait_for(reader.read(), 10)
        finally:
            writer.close()

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        async with asyncio.timeout(10):
            while len(asyncio.all_tasks()) > 1:  # what serves hears that its client is gone
                await asyncio.sleep(0.01)
        for server in self.servers:
            server.close()
        for writer in self.writers:
            if not writer.transport.is_closing():
                writer.transport.abort()
        await asyncio.sleep(0.01)


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    proxy = Proxy()
    await asyncio.sleep(0)
    yield proxy
    await proxy.stop()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def test_requests_are_spread_over_endpoints(proxy: Proxy) -> None:
    proxy.use(await proxy.named(b"a"), await proxy.named(b"b"))
    assert sorted([await proxy.ask() for _ in range(6)]) == [b"a"] * 3 + [b"b"] * 3


async def test_an_endpoint_that_refuses_costs_nobody_a_request(proxy: Proxy) -> None:
    proxy.use(closed_port(), await proxy.named(b"a"))
    assert [await proxy.ask() for _ in range(6)] == [b"a"] * 6


async def test_without_any_endpoint_that_answers_the_connection_is_reset(proxy: Proxy) -> None:
    proxy.use(closed_port(), closed_port())
    with pytest.raises(ConnectionResetError):
        await proxy.ask()


async def test_what_is_no_service_is_reset(proxy: Proxy) -> None:
    proxy.use(await proxy.named(b"a"))
    reader, writer = await proxy.connect("127.0.0.1")
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 10)
    writer.close()


async def test_megabytes_come_through_both_ways_and_each_end_is_handed_on(proxy: Proxy) -> None:
    proxy.use(await proxy.echo())
    data = os.urandom(24 << 20)
    reader, writer = await proxy.connect()
    writer.write(data)
    writer.write_eof()
    back = await asyncio.wait_for(reader.read(), 60)
    assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest()
    writer.close()


async def test_a_receiver_that_does_not_read_stops_the_sender_and_nobody_else(proxy: Proxy) -> None:
    async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Reads nothing beyond the stream's own limit."""

    proxy.use(await proxy.serve(stuck))
    sock = socket.socket()
    sock.connect((CLUSTER_IP, proxy.port))
    sock.setblocking(False)
    sent, quiet = 0, 0
    chunk = bytes(1 << 16)
    while quiet < 20:
        try:
            sent += sock.send(chunk)
            quiet = 0
        except BlockingIOError:
            quiet += 1
        await asyncio.sleep(0.01)
        assert sent < 64 << 20, "it is taken without an end"
    proxy.use(await proxy.named(b"a"))
    assert await proxy.ask() == b"a"
    sock.close()


async def test_a_reset_on_one_side_is_one_on_the_other(proxy: Proxy) -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    proxy.use(await proxy.serve(reset))
    reader, writer = await proxy.connect()
    writer.write(b"xy" * 1000)
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 10)
    writer.close()


async def test_more_connections_than_allowed_wait_until_one_ends() -> None:
    proxy = Proxy(most=2)
    await asyncio.sleep(0)
    proxy.use(await proxy.echo())
    held = [await proxy.connect() for _ in range(2)]
    reader, writer = await proxy.connect()
    writer.write_eof()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(), 0.5)
    for _, other in held:
        other.close()
    reader, writer = await proxy.connect()
    writer.write(b"now")
    writer.write_eof()
    assert await asyncio.wait_for(reader.read(), 10) == b"now"
    writer.close()
    await proxy.stop()


async def test_all_is_closed_when_it_stops(proxy: Proxy) -> None:
    proxy.use(await proxy.echo())
    reader, writer = await proxy.connect()
    writer.write(b"x")
    await writer.drain()
    while not proxy.got:
        await asyncio.sleep(0.01)
    await proxy.stop()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 10)
    with pytest.raises(ConnectionRefusedError):
        await proxy.connect()
    writer.close()
