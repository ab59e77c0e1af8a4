"""TCP: one listener that netfilter brings all Services' connections to.

Which Service a client asked for tells SO_ORIGINAL_DST (linux/netfilter_ipv4.h). Receives: connections.
Stores nothing. An endpoint that cannot be reached is set aside and the next one tried, before a byte of the
client's was read; when none is left the client's connection is reset. `MOST_CONNECTIONS` at once; further
ones wait in the kernel.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeAlias

from edgelab.daemon.tasks import Supervisor
from edgelab.edgemesh.proxy.balance import Balancer
from edgelab.edgemesh.proxy.dial import Dialer, tune
from edgelab.edgemesh.proxy.relay import RESET, Relays
from edgelab.edgemesh.table import ServicePort

log = logging.getLogger("edgelab.edgemesh.proxy")

SO_ORIGINAL_DST = 80
BACKLOG = 1024
MOST_CONNECTIONS = 4096
AT_ONCE = 32
"""Connections that are accepted before other work gets its turn."""
MOST_TRIES = 4
"""Endpoints that are tried for one connection."""
NO_ROOM_SECONDS = 0.5
"""How long nothing is accepted when the process has no file descriptor left."""

Address: TypeAlias = tuple[str, int]


def original_destination(sock: socket.socket) -> Address:
    """What the client connected to, before netfilter rewrote it. Raises OSError when it was not rewritten."""
    port, packed = struct.unpack_from("!2xH4s", sock.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16))
    return socket.inet_ntoa(packed), port


class TcpProxy:
    """A module; `start` before `run`. `use` tells it the Services."""

    name = "proxy/tcp"

    def __init__(
        self,
        balancer: Balancer,
        dialer: Dialer,
        *,
        destination: Callable[[socket.socket], Address] = original_destination,
        most: int = MOST_CONNECTIONS,
    ) -> None:
        self._balancer = balancer
        self._dialer = dialer
        self._destination = destination
        self._most = most
        self._open = 0
        self._services: dict[Address, ServicePort] = {}
        self._tasks = Supervisor("proxy/tcp")
        self._listener: socket.socket | None = None
        self._is_accepting = False

    def start(self, address: str) -> int:
        """Listen on a free port of `address`; the port."""
        self._loop = asyncio.get_running_loop()
        self._relays = Relays()
        self._listener = socket.create_server((address, 0), backlog=BACKLOG)
        self._listener.setblocking(False)
        self._resume()
        return int(self._listener.getsockname()[1])

    def use(self, ports: Sequence[ServicePort]) -> None:
        """The Services from now on; connections that exist stay."""
        self._services = {
            (address, port.port): port
            for port in ports
            if port.protocol == "TCP"
            for address in port.addresses
        }

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            await self._loop.create_future()
        finally:
            self._pause()
            if self._listener is not None:
                self._listener.close()
            await self._tasks.close()
            self._relays.close()

    def _resume(self) -> None:
        if self._listener is not None and not self._is_accepting:
            self._loop.add_reader(self._listener, self._accept)
            self._is_accepting = True

    def _pause(self) -> None:
        if self._listener is not None and self._is_accepting:
            self._loop.remove_reader(self._listener)
            self._is_accepting = False

    def _accept(self) -> None:
        assert self._listener is not None
        for _ in range(AT_ONCE):
            if self._open >= self._most:
                self._pause()
                return
            try:
                client, peer = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    raise
                log.warning("no connection can be accepted now: %s", error.strerror)
                self._pause()
                self._loop.call_later(NO_ROOM_SECONDS, self._resume)
                return
            self._open += 1
            self._tasks.spawn(self._serve(client, peer[0]), "connection")

    async def _serve(self, client: socket.socket, peer: str) -> None:
        upstream = None
        try:
            upstream = await self._connected(client, peer)
        finally:
            if upstream is None:
                with suppress(OSError):
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                client.close()
                self._ended()
        if upstream is not None:
            self._relays.join(client, upstream, self._ended)

    async def _connected(self, client: socket.socket, peer: str) -> socket.socket | None:
        try:
            client.setblocking(False)
            tune(client)
            port = self._services.get(self._destination(client))
        except OSError:  # it is gone already, or came to the proxy's own port
            return None
        if port is None:
            return None
        for endpoint in self._balancer.order(port, peer)[:MOST_TRIES]:
            try:
                found = await self._dialer.dial(endpoint, "TCP")
            except (OSError, TimeoutError) as error:
                where = f"{endpoint.ip}:{endpoint.port}"
                log.info("%s/%s: %s: %s", port.namespace, port.service, where, error or "no answer in time")
                self._balancer.failed(endpoint)
                continue
            self._balancer.worked(port, peer, endpoint)
            return found
        return None

    def _ended(self) -> None:
        self._open -= 1
        self._resume()
