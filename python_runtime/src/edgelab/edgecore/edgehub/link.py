"""A connection to CloudCore, whatever carries it: where it goes, what it does, how it fails."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

WINDOW = "16"
"""How many unacknowledged messages our CloudCore may have under way to us; the Go one ignores it."""

OF_THE_CERTIFICATE = frozenset({"CertificateExpired", "CertificateRevoked", "NodeNameMismatch"})
"""Reasons in our CloudCore's refusal that another certificate would end."""


class Disconnected(Exception):
    """The connection is gone; `str()` says why."""


class Distrusted(Exception):
    """TLS failed: one side does not accept the other's certificate. `str()` names cause and fix."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where CloudCore listens, who we are, and how long things may take (seconds).

    `resend` asks our CloudCore to bring everything anew, because this node lost what it had acknowledged.
    The Go CloudCore does not know the question: it brings what changes from then on.
    """

    server: str
    node: str
    project: str
    ca_file: Path
    cert_file: Path
    key_file: Path
    handshake_timeout: float
    write_timeout: float
    dead_peer: float
    resend: bool = False

    @property
    def host(self) -> str:
        """The host part of `server`, brackets of an IPv6 address removed."""
        return self.server.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The port part of `server`."""
        return int(self.server.rpartition(":")[2])

    @property
    def url(self) -> str:
        """The URL as the original forms it; the server does not read its path."""
        return f"wss://{self.server}/{self.project}/{self.node}/events"

    @property
    def headers(self) -> dict[str, str]:
        """What CloudCore is told of us at the start."""
        return {
            "Node_id": self.node,
            "Project_id": self.project,
            "Connectionuse": "msg",
            "Edgelab-window": WINDOW,
            **({"Edgelab-resend": "1"} if self.resend else {}),
        }


class Connection(Protocol):
    """An open connection: whole messages in both directions."""

    def silence(self) -> float:
        """Seconds since the peer was last heard of. Raises Disconnected."""
        ...

    async def send(self, frame: bytes) -> None:
        """Send one message. Raises Disconnected, also when it cannot be written in time."""
        ...

    async def receive(self) -> bytes:
        """The next message. Raises Disconnected."""
        ...


Connect = Callable[[Endpoint], AbstractAsyncContextManager[Connection]]
"""Connects; leaving the block closes. Raises Unreachable or Distrusted."""


async def addresses(endpoint: Endpoint, kind: socket.SocketKind) -> list[tuple[int, tuple[str, int]]]:
    """Family and address of each way to the server. Raises OSError when its name is not known."""
    with contextlib.suppress(ValueError):  # an address needs no resolver, hence no thread
        version = ipaddress.ip_address(endpoint.host).version
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        return [(family, (endpoint.host, endpoint.port))]
    found = await asyncio.get_running_loop().getaddrinfo(endpoint.host, endpoint.port, type=kind)
    return [(family, (str(address[0]), endpoint.port)) for family, _, _, _, address in found]
