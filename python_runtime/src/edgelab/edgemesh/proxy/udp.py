"""UDP: a socket for each port of a Service, and for each client a flow to one endpoint.

A flow ends when nothing was heard in it for `IDLE_SECONDS`, or when its endpoint says that nobody listens;
the client's next datagram then makes a new one. Datagrams that come while a flow is being opened wait, a few
of them. What is too much is dropped, as UDP may: the flow that was quiet longest goes first.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from typing import TypeAlias

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.tasks import Supervisor
from edgelab.edgemesh.proxy.balance import Balancer, PortKey, key_of
from edgelab.edgemesh.proxy.dial import Dialer
from edgelab.edgemesh.table import Endpoint, ServicePort

log = logging.getLogger("edgelab.edgemesh.proxy")

IDLE_SECONDS = 60.0
SWEEP_SECONDS = 5.0
MOST_FLOWS = 1024
"""Of one port of a Service."""
MOST_WAITING = 16
"""Datagrams that wait while their flow is being opened."""
AT_ONCE = 64
LARGEST = 65535

Address: TypeAlias = tuple[str, int]


class UdpProxy:
    """A module; `use` tells it the Services and gives where netfilter has to bring their datagrams."""

    name = "proxy/udp"

    def __init__(self, address: str, balancer: Balancer, dialer: Dialer, clock: Clock = SYSTEM) -> None:
        self._address = address
        self._balancer = balancer
        self._dialer = dialer
        self._clock = clock
        self._tasks = Supervisor("proxy/udp")
        self._ports: dict[PortKey, _Port] = {}

    def use(self, ports: Sequence[ServicePort]) -> dict[PortKey, int]:
        """The Services from now on; the local port of each one's socket. Raises OSError."""
        wanted = {key_of(port): port for port in ports if port.protocol == "UDP"}
        for key in [key for key in self._ports if key not in wanted]:
            self._ports.pop(key).close()
        for key, port in wanted.items():
            if key not in self._ports:
                self._ports[key] = _Port(
                    self._address, self._balancer, self._dialer, self._clock, self._tasks
                )
            self._ports[key].use(port)
        return {key: known.number for key, known in self._ports.items()}

    async def run(self) -> None:
        """End idle flows until cancelled."""
        try:
            while True:
                await self._clock.sleep(SWEEP_SECONDS)
                for port in self._ports.values():
                    port.sweep()
        finally:
            for port in self._ports.values():
                port.close()
            await self._tasks.close()


class _Port:
    """One port of one Service."""

    def __init__(
        self, address: str, balancer: Balancer, dialer: Dialer, clock: Clock, tasks: Supervisor
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._balancer = balancer
        self._dialer = dialer
        self._clock = clock
        self._tasks = tasks
        self._flows: OrderedDict[Address, _Flow] = OrderedDict()
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._sock.bind((address, 0))
        self.number = int(self._sock.getsockname()[1])
        self._loop.add_reader(self._sock, self._read)

    def use(self, port: ServicePort) -> None:
        """The endpoints from now on; flows to others end."""
        self._service = port
        for client, flow in list(self._flows.items()):
            if flow.endpoint is not None and flow.endpoint not in port.endpoints:
                self.end(client)

    def close(self) -> None:
        self._loop.remove_reader(self._sock)
        self._sock.close()
        for client in list(self._flows):
            self.end(client)

    def sweep(self) -> None:
        limit = self._clock.monotonic() - IDLE_SECONDS
        for client, flow in list(self._flows.items()):
            if flow.used < limit:
                self.end(client)

    def end(self, client: Address) -> None:
        flow = self._flows.pop(client, None)
        if flow is not None:
            flow.close()

    def answer(self, client: Address, data: bytes) -> None:
        """What an endpoint sends."""
        with suppress(OSError):  # no room, or the client is gone: it is lost, as UDP may be
            self._sock.sendto(data, client)

    def refused(self, client: Address, flow: _Flow) -> None:
        """Nobody listens there."""
        if flow.endpoint is not None:
            self._balancer.failed(flow.endpoint)
        self.end(client)

    def _read(self) -> None:
        for _ in range(AT_ONCE):
            try:
                data, client = self._sock.recvfrom(LARGEST)
            except OSError:
                return
            self._received(data, client)

    def _received(self, data: bytes, client: Address) -> None:
        flow = self._flows.get(client)
        if flow is None:
            if len(self._flows) >= MOST_FLOWS:
                self.end(next(iter(self._flows)))
            flow = self._flows[client] = _Flow(self, client)
            self._tasks.spawn(self._opened(flow, client), "flow")
        flow.used = self._clock.monotonic()
        self._flows.move_to_end(client)
        flow.send(data)

    async def _opened(self, flow: _Flow, client: Address) -> None:
        for endpoint in self._balancer.order(self._service, client[0]):
            try:
                sock = await self._dialer.dial(endpoint, "UDP")
            except (OSError, TimeoutError) as error:
                log.debug("%s:%s: %s", endpoint.ip, endpoint.port, error or "no answer in time")
                self._balancer.failed(endpoint)
                continue
            flow.open(endpoint, sock)
            return
        self.end(client)

    def used(self, client: Address, flow: _Flow) -> None:
        """An endpoint answers: it works."""
        flow.used = self._clock.monotonic()
        if flow.endpoint is not None and not flow.is_proven:
            flow.is_proven = True
            self._balancer.worked(self._service, client[0], flow.endpoint)


class _Flow:
    """One client's datagrams to one endpoint, and back."""

    def __init__(self, port: _Port, client: Address) -> None:
        self.endpoint: Endpoint | None = None
        self.used = 0.0
        self.is_proven = False
        self._loop = asyncio.get_running_loop()
        self._port = port
        self._client = client
        self._sock: socket.socket | None = None
        self._is_closed = False
        self._waiting: list[bytes] = []

    def open(self, endpoint: Endpoint, sock: socket.socket) -> None:
        if self._is_closed:
            sock.close()
            return
        self.endpoint, self._sock = endpoint, sock
        sock.setblocking(False)
        self._loop.add_reader(sock, self._read)
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            self.send(data)

    def send(self, data: bytes) -> None:
        if self._sock is None:
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append(data)
            return
        try:
            self._sock.send(data)
        except BlockingIOError:
            return
        except OSError:
            self._port.refused(self._client, self)

    def close(self) -> None:
        self._is_closed = True
        self._waiting.clear()
        if self._sock is not None:
            self._loop.remove_reader(self._sock)
            self._sock.close()
            self._sock = None

    def _read(self) -> None:
        for _ in range(AT_ONCE):
            if self._sock is None:
                return
            try:
                data = self._sock.recv(LARGEST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                self._port.refused(self._client, self)
                return
            if not data and self._sock.type == socket.SOCK_SEQPACKET:  # the tunnel's end, no datagram
                self._port.end(self._client)
                return
            self._port.used(self._client, self)
            self._port.answer(self._client, data)
