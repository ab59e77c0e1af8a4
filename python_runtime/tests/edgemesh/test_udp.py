"""UDP through the proxy: flows, their ends, and endpoints where nobody listens."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
from collections.abc import AsyncIterator

import pytest

from edgelab.edgemesh.proxy import udp
from edgelab.edgemesh.proxy.balance import Balancer, key_of
from edgelab.edgemesh.proxy.dial import Direct
from edgelab.edgemesh.proxy.udp import IDLE_SECONDS, UdpProxy
from edgelab.edgemesh.table import ROUND_ROBIN, Endpoint, ServicePort


class Time:
    """Its sleeps end when the test says so."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.wake = asyncio.Event()

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> dt.datetime:
        raise NotImplementedError

    async def sleep(self, seconds: float) -> None:
        await self.wake.wait()
        self.wake.clear()


class Backend(asyncio.DatagramProtocol):
    """Answers with its name and from where it was asked."""

    def __init__(self, name: str) -> None:
        self.name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.transport.sendto(f"{self.name} {data.decode()} {addr[1]}".encode(), addr)  # type: ignore[attr-defined]


class Bench:
    def __init__(self) -> None:
        self.clock = Time()
        self.proxy = UdpProxy("127.0.0.1", Balancer("edge1", self.clock), Direct(), self.clock)
        self.task = asyncio.create_task(self.proxy.run())
        self.transports: list[asyncio.DatagramTransport] = []
        self.clients: list[Client] = []

    def client(self, port: int) -> Client:
        self.clients.append(Client(port))
        return self.clients[-1]

    async def backend(self, name: str) -> int:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: Backend(name), local_addr=("127.0.0.1", 0))
        self.transports.append(transport)
        return int(transport.get_extra_info("sockname")[1])

    def use(self, *ports: int, affinity: int = 0) -> int:
        endpoints = tuple(Endpoint("127.0.0.1", port, "edge1") for port in ports)
        port = ServicePort("default", "dns", "", "UDP", 53, ("10.96.0.53",), endpoints, affinity, ROUND_ROBIN)
        return self.proxy.use([port])[key_of(port)]

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        for transport in self.transports:
            transport.close()
        for client in self.clients:
            client.sock.close()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    await asyncio.sleep(0)
    yield bench
    await bench.close()


class Client:
    def __init__(self, port: int) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.connect(("127.0.0.1", port))
        self.sock.setblocking(False)

    async def ask(self, text: str, seconds: float = 10) -> list[str]:
        self.sock.send(text.encode())
        data = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.sock, 65535), seconds)
        return data.decode().split()


async def test_a_client_has_one_flow_to_one_endpoint_and_clients_are_spread(bench: Bench) -> None:
    port = bench.use(await bench.backend("a"), await bench.backend("b"))
    first, second = bench.client(port), bench.client(port)
    answers = [await first.ask("x") for _ in range(3)]
    assert answers == [answers[0]] * 3
    assert {answers[0][0], (await second.ask("y"))[0]} == {"a", "b"}


async def test_datagrams_are_kept_whole_and_all_sizes_come_through(bench: Bench) -> None:
    port = bench.use(await bench.backend("a"))
    client = bench.client(port)
    for size in (1, 1400, 60_000):
        assert len((await client.ask("z" * size))[1]) == size


async def test_a_quiet_flow_ends_and_the_next_datagram_makes_a_new_one(bench: Bench) -> None:
    port = bench.use(await bench.backend("a"))
    client = bench.client(port)
    before = (await client.ask("x"))[2]
    bench.clock.seconds += IDLE_SECONDS - 1
    bench.clock.wake.set()
    await asyncio.sleep(0)
    assert (await client.ask("x"))[2] == before
    bench.clock.seconds += IDLE_SECONDS + 1
    bench.clock.wake.set()
    while bench.clock.wake.is_set():
        await asyncio.sleep(0)
    assert (await client.ask("x"))[2] != before


async def test_where_nobody_listens_the_next_datagram_goes_elsewhere(bench: Bench) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        closed = sock.getsockname()[1]
    port = bench.use(closed, await bench.backend("a"))
    for _ in range(2):
        client = bench.client(port)
        for _ in range(100):
            try:
                assert (await client.ask("x", 0.1))[0] == "a"
                break
            except TimeoutError:
                continue
        else:
            pytest.fail("no datagram found the endpoint that listens")


async def test_flows_to_an_endpoint_that_is_gone_end(bench: Bench) -> None:
    first, second = await bench.backend("a"), await bench.backend("b")
    port = bench.use(first)
    client = bench.client(port)
    assert (await client.ask("x"))[0] == "a"
    assert bench.use(second) == port
    assert (await client.ask("x"))[0] == "b"


async def test_affinity_holds_for_all_flows_of_an_address(bench: Bench) -> None:
    port = bench.use(await bench.backend("a"), await bench.backend("b"), affinity=60)
    names = {(await bench.client(port).ask("x"))[0] for _ in range(8)}
    assert len(names) == 1


async def test_flows_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp, "MOST_FLOWS", 4)
    port = bench.use(await bench.backend("a"))
    clients = [bench.client(port) for _ in range(10)]
    firsts = [(await client.ask("x"))[2] for client in clients]
    known = bench.proxy._ports["default", "dns", "UDP", 53]
    assert len(known._flows) == 4
    assert (await clients[-1].ask("x"))[2] == firsts[-1]
    assert (await clients[0].ask("x"))[2] != firsts[0]


async def test_a_service_that_goes_takes_its_socket_along(bench: Bench) -> None:
    port = bench.use(await bench.backend("a"))
    client = bench.client(port)
    await client.ask("x")
    assert bench.proxy.use([]) == {}
    with pytest.raises(ConnectionRefusedError):
        await client.ask("x")
