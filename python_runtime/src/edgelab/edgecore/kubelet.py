"""What EdgeStream asks of edged in a kubelet's words: a page or a log, or a connection into a container.

Nothing of this is reachable from outside of the process: a port without authentication, even on loopback,
would let every program of the node into every container. The original serves it there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import NamedTuple, Protocol

TEXT = "text/plain"


class Request(NamedTuple):
    """A request as the API server made it. `query` is encoded; names of `headers` are canonical."""

    method: str
    path: str
    query: str
    headers: Mapping[str, Sequence[str]]


class Answer(NamedTuple):
    """A successful answer. Whoever takes `body` closes it."""

    body: AsyncGenerator[bytes, None]
    content_type: str = TEXT


class Pipe(NamedTuple):
    """A connection to the container runtime; the request has been sent, the answer is in `reader`."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Refused(Exception):
    """The request is not carried out: a status as in HTTP, a text for people."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Kubelet(Protocol):
    """edged as EdgeStream sees it."""

    async def get(self, request: Request) -> Answer:
        """Logs, and whatever else is read. Raises Refused."""
        ...

    async def connect(self, request: Request) -> Pipe:
        """exec, attach and portForward. Raises Refused."""
        ...
