"""Endpoints on other nodes, by a relay with TLS: bytes, ends, breaks, and who may reach what."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
from tests.edgemesh.objects import Obj, endpoint_slice, member, service
from tests.edgemesh.tunnelling import CloudSide

from edgelab.cloudcore.meshrelay import endpoints, relay
from edgelab.cloudcore.meshrelay.endpoints import Endpoints
from edgelab.daemon.pumping import RESET
from edgelab.edgemesh import table
from edgelab.edgemesh.proxy.balance import Balancer
from edgelab.edgemesh.proxy.dial import Direct, Everywhere
from edgelab.edgemesh.proxy.tcp import TcpProxy
from edgelab.edgemesh.proxy.udp import UdpProxy
from edgelab.edgemesh.table import ROUND_ROBIN, Endpoint, ServicePort
from edgelab.edgemesh.tunnel import agent
from edgelab.edgemesh.tunnel.agent import Tunnel
from edgelab.edgemesh.tunnel.websocket import WebSocket, connect
from edgelab.protocol.mesh import Accept, Connect, Failed, Hello, Message, Opened, decode, encode


@pytest.fixture(autouse=True)
def loopback_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here all nodes are one machine, and its endpoints at 127.0.0.1."""
    for module in (table, endpoints):
        monkeypatch.setattr(module, "may_be_dialled", lambda ip: True)


class Backend:
    """A server that answers with what came, once that has ended; UDP: at once. `cut`: half, then a reset."""

    def __init__(self) -> None:
        self.port = 0
        self.cut = False

    def objects(self, node: str = "edge2") -> tuple[Obj, Obj]:
        ports = [{"name": p, "port": self.port, "protocol": p} for p in ("TCP", "UDP")]
        return service("web", ports=ports), endpoint_slice("web", member("127.0.0.1", node), ports=ports)

    def endpoint(self, node: str = "edge2") -> Endpoint:
        return Endpoint("127.0.0.1", self.port, node)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            got = await reader.read(-1)
            if self.cut:
                writer.write(got[: len(got) // 2])
                await writer.drain()
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                writer.transport.abort()
                return
            writer.write(got)
            await writer.drain()
        except ConnectionError:
            return
        finally:
            writer.close()


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(data, addr)


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    backend = Backend()
    # TCP first: many of its ports are in use, so what is free for UDP may not be for both.
    async with await asyncio.start_server(backend.serve, "127.0.0.1", 0) as server:
        backend.port = server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", backend.port))
        yield backend
        transport.close()


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[CloudSide]:
    cloud = CloudSide(tmp_path, lambda *_: False)
    await cloud.start()
    yield cloud
    await cloud.stop()


async def exchange(sock: socket.socket, data: bytes) -> bytes:
    """Send, end, and read to the end."""
    sock.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=sock)
    try:
        writer.write(data)
        writer.write_eof()
        return await asyncio.wait_for(reader.read(-1), 30)
    finally:
        writer.close()


async def test_bytes_reach_an_endpoint_on_another_node_and_come_back(
    cloud: CloudSide, backend: Backend
) -> None:
    data = os.urandom(5 << 20)
    async with cloud.agent("edge1") as one, cloud.agent("edge2", *backend.objects()):
        back = await exchange(await one.dial(backend.endpoint(), "TCP"), data)
        assert hashlib.sha256(back).digest() == hashlib.sha256(data).digest()
        several = await asyncio.gather(*(one.dial(backend.endpoint(), "TCP") for _ in range(10)))
        answers = await asyncio.gather(*(exchange(s, b"%d" % i) for i, s in enumerate(several)))
        assert answers == [b"%d" % i for i in range(10)]


async def test_datagrams_stay_datagrams(cloud: CloudSide, backend: Backend) -> None:
    async with cloud.agent("edge1") as one, cloud.agent("edge2", *backend.objects()):
        sock = await one.dial(backend.endpoint(), "UDP")
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        with sock:
            for data in (b"a", b"b" * 1400, b"c" * 9000):
                await loop.sock_sendall(sock, data)
                assert await asyncio.wait_for(loop.sock_recv(sock, 65535), 10) == data


async def test_half_an_answer_does_not_look_like_all_of_it(cloud: CloudSide, backend: Backend) -> None:
    backend.cut = True
    async with cloud.agent("edge1") as one, cloud.agent("edge2", *backend.objects()):
        with pytest.raises(ConnectionResetError):
            await exchange(await one.dial(backend.endpoint(), "TCP"), b"x" * 100)


@pytest.mark.parametrize(("ip", "shift", "node"), [("127.0.0.2", 0, "edge2"), ("127.0.0.1", 1, "edge2")])
async def test_what_is_no_endpoint_there_is_refused_by_the_node_itself(
    cloud: CloudSide, backend: Backend, ip: str, shift: int, node: str
) -> None:
    async with cloud.agent("edge1") as one, cloud.agent("edge2", *backend.objects()):
        with pytest.raises(ConnectionRefusedError, match="is no endpoint of a Service on this node"):
            await one.dial(Endpoint(ip, backend.port + shift, node), "TCP")


async def test_a_node_without_an_agent_is_told_at_once(cloud: CloudSide, backend: Backend) -> None:
    async with cloud.agent("edge1") as one:
        with pytest.raises(ConnectionRefusedError, match="node edge9 has no mesh agent"):
            await one.dial(backend.endpoint("edge9"), "TCP")


async def test_an_endpoint_in_the_cloud_is_dialled_by_cloudcore_when_it_is_one(
    cloud: CloudSide, backend: Backend
) -> None:
    known_endpoints = Endpoints(lambda node: node.startswith("edge"))
    _, known = backend.objects("cloud1")
    known_endpoints.slice_changed("ADDED", None, known)
    cloud.relay._may_dial = known_endpoints.may_dial
    async with cloud.agent("edge1") as one:
        assert await exchange(await one.dial(backend.endpoint("cloud1"), "TCP"), b"hello") == b"hello"
        with pytest.raises(ConnectionRefusedError):
            await one.dial(Endpoint("127.0.0.1", cloud.port, "cloud1"), "TCP")
    known_endpoints.slice_changed("MODIFIED", None, backend.objects("edge3")[1])
    assert not known_endpoints.may_dial("cloud1", "127.0.0.1", backend.port, "TCP")
    assert not known_endpoints.may_dial("edge3", "127.0.0.1", backend.port, "TCP")


async def test_without_the_cloud_it_fails_at_once_and_comes_back_by_itself(
    cloud: CloudSide, backend: Backend
) -> None:
    async with cloud.agent("edge1") as one, cloud.agent("edge2", *backend.objects()):
        await cloud.stop()
        async with asyncio.timeout(20):
            while one.is_up:
                await asyncio.sleep(0.01)
        with pytest.raises(ConnectionRefusedError, match="no tunnel through CloudCore now"):
            await one.dial(backend.endpoint(), "TCP")
        await cloud.start()
        async with asyncio.timeout(30):
            while not one.is_up or "edge2" not in cloud.relay.agents:
                await asyncio.sleep(0.01)
        assert await exchange(await one.dial(backend.endpoint(), "TCP"), b"again") == b"again"


@pytest.mark.parametrize("error", [TimeoutError(), OSError(errno.EHOSTUNREACH, "No route to host")])
async def test_a_link_that_died_without_a_word_is_noticed_by_the_first_dial(
    cloud: CloudSide, backend: Backend, error: OSError
) -> None:
    async def cut(*_: object) -> WebSocket:
        raise error

    async with cloud.agent("edge1") as one, cloud.agent("edge2", *backend.objects()):
        with pytest.MonkeyPatch.context() as link:
            link.setattr(agent, "connect", cut)
            with pytest.raises(type(error)):
                await one.dial(backend.endpoint(), "TCP")
            async with asyncio.timeout(20):
                while one.is_up:
                    await asyncio.sleep(0.01)
            with pytest.raises(ConnectionRefusedError, match="no tunnel through CloudCore now"):
                await one.dial(backend.endpoint(), "TCP")
        async with asyncio.timeout(30):
            while not one.is_up:
                await asyncio.sleep(0.01)
        assert await exchange(await one.dial(backend.endpoint(), "TCP"), b"again") == b"again"


async def test_a_node_that_is_gone_breaks_its_streams(cloud: CloudSide, backend: Backend) -> None:
    async with cloud.agent("edge1") as one:
        async with cloud.agent("edge2", *backend.objects()):
            sock = await one.dial(backend.endpoint(), "TCP")
        sock.setblocking(False)
        with sock, pytest.raises(ConnectionResetError):
            await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 10), 10)


async def said(cloud: CloudSide, agent: Tunnel, first: Message) -> Message:
    """What the relay answers to a message by somebody with that agent's certificate."""
    websocket = await connect(agent._settings.server, agent._tls())
    try:
        await websocket.send(encode(first))
        return decode(await asyncio.wait_for(websocket.receive(), 10))
    finally:
        websocket.abort()


async def test_nobody_accepts_for_another_node(cloud: CloudSide, backend: Backend) -> None:
    future: asyncio.Future[relay.MeshConnection] = asyncio.get_running_loop().create_future()
    cloud.relay._waiting["secret"] = relay._Waiting("edge2", future)
    async with cloud.agent("edge3") as thief:
        for first in (Accept("secret"), Accept("other"), Opened()):
            with pytest.raises(ConnectionResetError):
                await said(cloud, thief, first)
    assert not future.done()
    future.cancel()


async def test_the_streams_of_a_node_are_bounded(
    cloud: CloudSide, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "MOST_STREAMS", 2)
    async with cloud.agent("edge1") as one, cloud.agent("edge2", *backend.objects()):
        held = [await one.dial(backend.endpoint(), "TCP") for _ in range(2)]
        with pytest.raises(ConnectionRefusedError, match="more than 2 connections"):
            await one.dial(backend.endpoint(), "TCP")
        for sock in held:
            sock.close()
        async with asyncio.timeout(10):
            while cloud.relay._streams:
                await asyncio.sleep(0.01)
        assert await exchange(await one.dial(backend.endpoint(), "TCP"), b"x") == b"x"


async def test_a_second_agent_of_a_node_takes_the_place_of_the_first(cloud: CloudSide) -> None:
    async with cloud.agent("edge1") as one:
        websocket = await connect(one._settings.server, one._tls())
        await websocket.send(encode(Hello()))
        async with asyncio.timeout(10):
            while one.is_up:
                await asyncio.sleep(0.01)
        assert cloud.relay.agents == ["edge1"]
        websocket.abort()


async def test_a_certificate_of_another_authority_gets_nowhere(cloud: CloudSide, tmp_path: Path) -> None:
    other = CloudSide(tmp_path / "other", lambda *_: False)
    stranger = Tunnel(other.files("edge1"), "edge1", None, None)  # type: ignore[arg-type]  # it gets nowhere
    files = stranger._settings
    files.tlsCaFile = str(cloud.pki.directory / "rootCA.crt")
    with pytest.raises(OSError):  # noqa: PT011 - TLS 1.3 tells late: by an alert, or by the end
        await said_nothing(f"127.0.0.1:{cloud.port}", stranger)


async def said_nothing(server: str, agent: Tunnel) -> None:
    websocket = await connect(server, agent._tls())
    await websocket.receive()


async def test_the_proxies_take_the_tunnel_for_what_is_elsewhere(cloud: CloudSide, backend: Backend) -> None:
    async with cloud.agent("edge1") as one, cloud.agent("edge2", *backend.objects()):
        dialer = Everywhere("edge1", Direct(), one)
        balancer = Balancer("edge1")
        tcp = TcpProxy(balancer, dialer, destination=lambda sock: sock.getsockname())
        udp = UdpProxy("127.0.0.1", balancer, dialer)
        number = tcp.start("127.0.0.1")
        tasks = [asyncio.create_task(tcp.run()), asyncio.create_task(udp.run())]
        both = (Endpoint("127.0.0.1", number, "edge9"), backend.endpoint())
        ports = [
            ServicePort("default", "web", "", protocol, number, ("127.0.0.1",), both, 0, ROUND_ROBIN)
            for protocol in ("TCP", "UDP")
        ]
        tcp.use(ports)
        numbers = udp.use(ports)
        for data in (b"a", b"b" * 200_000):
            sock = await asyncio.to_thread(socket.create_connection, ("127.0.0.1", number))
            assert await exchange(sock, data) == data, "an endpoint that is nowhere costs nothing"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect(("127.0.0.1", numbers["default", "web", "UDP", number]))
            for data in (b"one", b"two"):
                client.send(data)
                loop = asyncio.get_running_loop()
                assert await asyncio.wait_for(loop.sock_recv(client, 100), 10) == data
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def test_messages_are_what_the_reference_says() -> None:
    assert encode(Hello()) == '{"type":"hello"}'
    assert encode(Connect("edge2", "10.0.0.2", 80)) == (
        '{"type":"connect","node":"edge2","ip":"10.0.0.2","port":80,"protocol":"TCP"}'
    )
    assert decode('{"type":"failed","reason":"no"}') == Failed("no")
