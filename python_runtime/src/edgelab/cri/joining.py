"""Commands, attaches and ports of containers where the runtime has no streaming server of its own.

CRI gives a URL for them; the Docker Engine API gives the streams themselves, and whoever wants them has to
speak a kubelet's protocols to the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

STDOUT, STDERR = "stdout", "stderr"


class Wanted(NamedTuple):
    """What is connected. A terminal has one output, so `tty` goes without `stderr`."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


class Process(Protocol):
    """A process in a container that is joined. Every method raises OSError once Docker is gone."""

    def outputs(self) -> AsyncIterator[tuple[str, bytes]]:
        """STDOUT or STDERR and some bytes, until both are at their end."""
        ...

    async def send(self, data: bytes) -> None:
        """Write to its standard input; returns when there is room for more."""
        ...

    async def finish(self) -> None:
        """Its standard input is at its end."""
        ...

    async def resize(self, width: int, height: int) -> None:
        """The terminal has so many columns and lines. Raises RuntimeUnreachable, CriError."""
        ...

    async def exit_code(self) -> int:
        """After the outputs. Raises RuntimeUnreachable, CriError."""
        ...


class Joining(Protocol):
    """A runtime's own streams. Everything raises RuntimeUnreachable and CriError."""

    def exec(
        self, container: str, command: Sequence[str], wanted: Wanted
    ) -> AbstractAsyncContextManager[Process]:
        """Run a command for as long as the block lasts; what runs after it is ended."""
        ...

    def attach(self, container: str, wanted: Wanted) -> AbstractAsyncContextManager[Process]:
        """Join the container's own process, which goes on after the block; its exit code counts as 0."""
        ...

    async def dial(self, sandbox: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a TCP port of the pod's own loopback. Raises OSError when nobody listens there."""
        ...
