"""A small HTTP client for load: many connections over TLS, with as little work of its own as possible.

The figures are about the server; a client that costs more than the server would be measured instead.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec
import yaml


class Target(NamedTuple):
    """A control plane as its administrator reaches it."""

    name: str
    host: str
    port: int
    tls: ssl.SSLContext
    is_ours: bool = False


def from_kubeconfig(name: str, path: Path, *, is_ours: bool = False) -> Target:
    """Read a kubeconfig with a client certificate."""
    document = yaml.safe_load(path.read_text())
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    address = urlsplit(cluster["server"])
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for kind, source in (
            ("certificate-authority", cluster),
            ("client-certificate", user),
            ("client-key", user),
        ):
            files[kind] = _file(source, kind, Path(folder) / kind)
        tls = ssl.create_default_context(cafile=files["certificate-authority"])
        tls.load_cert_chain(files["client-certificate"], files["client-key"])
    return Target(name, str(address.hostname), int(address.port or 443), tls, is_ours)


def _file(source: dict[str, str], kind: str, scratch: Path) -> Path:
    if kind in source:
        return Path(source[kind])
    scratch.write_bytes(base64.b64decode(source[f"{kind}-data"]))
    return scratch


class Connection:
    """One connection that is kept; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader = reader
        self._writer = writer
        self._host = host

    @classmethod
    async def open(cls, target: Target) -> Connection:
        reader, writer = await asyncio.open_connection(
            target.host, target.port, ssl=target.tls, limit=64 << 20
        )
        return cls(reader, writer, target.host)

    async def send(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> int:
        """Send a request and read the head of the answer; gives the status."""
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nAccept: application/json\r\n"
        if body:
            head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        self._writer.write(f"{head}\r\n".encode() + body)
        self._head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        return int(self._head.split(b" ", 2)[1])

    async def body(self) -> bytes:
        """The rest of the answer."""
        if b"transfer-encoding: chunked" in self._head:
            parts = []
            while part := await self.chunk():
                parts.append(part)
            return b"".join(parts)
        length = self._head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        return await self._reader.readexactly(int(length or 0))

    async def chunk(self) -> bytes:
        """The next piece of an answer without a length; empty at its end."""
        size = int(await self._reader.readline(), 16)
        data = await self._reader.readexactly(size + 2)
        return data[:-2]

    async def call(self, method: str, path: str, obj: Any = None, kind: str = "application/json") -> Any:
        """Send and receive objects. Raises RuntimeError for a refusal."""
        status = await self.send(method, path, msgspec.json.encode(obj) if obj is not None else b"", kind)
        answer = msgspec.json.decode(await self.body())
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {answer.get('message')}")
        return answer

    def close(self) -> None:
        self._writer.close()


class Load(NamedTuple):
    """What many requests took."""

    rate: float
    """Per second."""
    latencies: Sequence[float]
    """Seconds, sorted."""

    def percentile(self, share: float) -> float:
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))]


async def load(
    target: Target, clients: int, count: int, request: Callable[[Connection, int], Awaitable[None]]
) -> Load:
    """Do `count` requests from so many connections."""
    connections = [await Connection.open(target) for _ in range(clients)]
    numbers = iter(range(count))
    latencies: list[float] = []

    async def work(connection: Connection) -> None:
        for number in numbers:
            began = time.perf_counter()
            await request(connection, number)
            latencies.append(time.perf_counter() - began)

    started = time.perf_counter()
    await asyncio.gather(*(work(connection) for connection in connections))
    elapsed = time.perf_counter() - started
    for connection in connections:
        connection.close()
    return Load(count / elapsed, sorted(latencies))
