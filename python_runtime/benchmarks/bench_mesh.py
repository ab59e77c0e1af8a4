"""The mesh's proxy: what it adds to a small request, and how much it carries on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import socket
import statistics
import time
from collections.abc import Iterator

from benchmarks.measure import Result

from edgelab.edgemesh.proxy.balance import Balancer
from edgelab.edgemesh.proxy.dial import Direct
from edgelab.edgemesh.proxy.tcp import TcpProxy
from edgelab.edgemesh.table import ROUND_ROBIN, Endpoint, ServicePort

HOST = "127.0.0.1"
REQUESTS = 1000
SECONDS = 3.0
PIECE = bytes(1 << 20)
Ports = multiprocessing.Queue  # of int


def backend(ports: Ports[int]) -> None:
    """Answers a request with one byte; takes everything of who begins with `s`."""
    listener = socket.create_server((HOST, 0))
    ports.put(listener.getsockname()[1])
    buffer = bytearray(1 << 20)
    while True:
        client, _ = listener.accept()
        with client:
            if client.recv(1) == b"s":
                while client.recv_into(buffer):
                    pass
                client.sendall(b"e")
            else:
                client.sendall(b"a")


def proxy(ports: Ports[int], target: int) -> None:
    """The proxy as edgemesh-agent runs it, but for netfilter."""

    async def main() -> None:
        tcp = TcpProxy(Balancer("edge"), Direct(), destination=lambda sock: sock.getsockname())
        port = tcp.start(HOST)
        endpoints = (Endpoint(HOST, target, "edge"),)
        tcp.use([ServicePort("default", "web", "", "TCP", port, (HOST,), endpoints, 0, ROUND_ROBIN)])
        ports.put(port)
        await tcp.run()

    asyncio.run(main())


def requests(port: int) -> list[float]:
    """Milliseconds of each: connect, ask, answer."""
    took = []
    for _ in range(REQUESTS):
        began = time.perf_counter()
        with socket.create_connection((HOST, port)) as sock:
            sock.sendall(b"r")
            sock.recv(1)
        took.append((time.perf_counter() - began) * 1000)
    return sorted(took)


def throughput(port: int) -> float:
    """Gbit/s of one connection, as far as the other side has got them."""
    with socket.create_connection((HOST, port)) as sock:
        sock.sendall(b"s")
        began = time.perf_counter()
        sent = 0
        while time.perf_counter() - began < SECONDS:
            sock.sendall(PIECE)
            sent += len(PIECE)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(1)
        return sent * 8 / (time.perf_counter() - began) / 1e9


@contextlib.contextmanager
def processes() -> Iterator[tuple[int, int]]:
    """The ports of a backend and of a proxy in front of it."""
    context = multiprocessing.get_context("spawn")
    ports: Ports[int] = context.Queue()
    started = [context.Process(target=backend, args=(ports,), daemon=True)]
    started[0].start()
    try:
        direct = ports.get(timeout=30)
        started.append(context.Process(target=proxy, args=(ports, direct), daemon=True))
        started[1].start()
        yield direct, ports.get(timeout=30)
    finally:
        for process in started:
            process.terminate()
            process.join()


async def run() -> list[Result]:
    """Latency and throughput, directly and through the proxy."""
    return await asyncio.to_thread(_measured)


def _measured() -> list[Result]:
    with processes() as (direct, proxied):
        plain, through = requests(direct), requests(proxied)
        return [
            Result("a request, directly, p50", statistics.median(plain) * 1000, "us"),
            Result("a request, through the proxy, p50", statistics.median(through) * 1000, "us"),
            Result("a request, through the proxy, p99", through[int(REQUESTS * 0.99)] * 1000, "us"),
            Result("one connection, directly", throughput(direct) * 1000, "Mbit/s", is_reference=True),
            Result("one connection, through the proxy", throughput(proxied) * 1000, "Mbit/s"),
        ]
