"""Connections to endpoints: on this node directly, on others through the tunnel."""

from __future__ import annotations

import asyncio
import socket
from typing import Protocol

from edgelab.daemon.sockets import keep_alive
from edgelab.edgemesh.table import Endpoint

CONNECT_SECONDS = 2.0
"""After which an endpoint that says nothing is given up, and the next one tried."""


class Dialer(Protocol):
    """Makes a connection to an endpoint."""

    async def dial(self, endpoint: Endpoint, protocol: str) -> socket.socket:
        """A connected socket (SOCK_STREAM for TCP, SOCK_DGRAM or SOCK_SEQPACKET for UDP).

        Raises OSError or TimeoutError when there is no connection.
        """
        ...


class Direct:
    """Dials the address itself."""

    async def dial(self, endpoint: Endpoint, protocol: str) -> socket.socket:
        """Connect. UDP is connected at once: that nobody listens shows with the first datagram."""
        kind = socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM
        sock = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            if protocol == "TCP":
                tune(sock)
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(sock, (endpoint.ip, endpoint.port))
        except BaseException:
            sock.close()
            raise
        return sock


class Everywhere:
    """This node's endpoints by `near`, those of other nodes by `far`."""

    def __init__(self, node: str, near: Dialer, far: Dialer) -> None:
        self._node = node
        self._near = near
        self._far = far

    async def dial(self, endpoint: Endpoint, protocol: str) -> socket.socket:
        """Connect by the right one."""
        chosen = self._near if endpoint.node in ("", self._node) else self._far
        return await chosen.dial(endpoint, protocol)


def tune(sock: socket.socket) -> None:
    """No delay for small pieces; a peer that vanished is noticed within minutes."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    keep_alive(sock, 60, 15, 4)
