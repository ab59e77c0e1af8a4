"""One listener for each node: its port is what makes a connection the node's.

A node keeps its port as long as CloudCore runs, connected or not, and gets the one back that its Node names
when CloudCore starts again: so a port that somebody read a moment ago never leads to another node.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator

log = logging.getLogger("edgelab.cloudcore.cloudstream")

BACKLOG = 64
NOT_HERE = (errno.EADDRNOTAVAIL,)

Listen = Callable[[socket.socket, str], Awaitable[asyncio.Server]]


class NoPort(Exception):
    """There is no port for a node; `str()` says why and what to do."""


class Listeners:
    """`open` gives a node its port, `close` ends all. `address` is bound if it is one of this machine's."""

    def __init__(self, address: str, first: int, last: int, listen: Listen) -> None:
        self.address = address
        self._range = range(first, last + 1)
        self._listen = listen
        self._ports: dict[str, int] = {}
        self._servers: dict[str, asyncio.Server] = {}

    def port(self, node: str) -> int:
        """The port of a node; 0 while it has none."""
        return self._ports.get(node, 0)

    async def open(self, node: str, wanted: int, taken: Iterable[int]) -> int:
        """The node's port: `wanted` if it can be had, else the lowest that is free and not in `taken`.

        Raises NoPort.
        """
        if node in self._ports:
            return self._ports[node]
        for port in self._candidates(wanted, set(taken)):
            sock = self._bound(port)
            if sock is None:
                continue
            self._ports[node] = port
            try:
                self._servers[node] = await self._listen(sock, node)
            except BaseException:
                del self._ports[node]
                sock.close()
                raise
            return port
        raise NoPort(
            f"node {node} has no port for logs and commands: {self._range[0]}-{self._range[-1]} are all taken"
            " (edgelab.stream.firstPort, lastPort)"
        )

    def forget(self, node: str) -> None:
        """The Node is gone."""
        server = self._servers.pop(node, None)
        self._ports.pop(node, None)
        if server is not None:
            server.close()

    def close(self) -> None:
        """End all."""
        for node in list(self._servers):
            self.forget(node)

    def _candidates(self, wanted: int, taken: set[int]) -> Iterator[int]:
        if wanted in self._range:
            yield wanted
        mine = set(self._ports.values())
        yield from (port for port in self._range if port not in taken and port not in mine)

    def _bound(self, port: int) -> socket.socket | None:
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        everywhere = "::" if ":" in self.address else "0.0.0.0"  # noqa: S104 - an address that is NAT's
        for address in (self.address, everywhere):
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((address, port))
                sock.listen(BACKLOG)
            except OSError as error:
                sock.close()
                if error.errno not in NOT_HERE:
                    return None
            else:
                return sock
        return None
