"""HTTP/1.1 as bytes over TLS, so that tests can send what no client library would."""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import yaml

PATIENCE = 30.0


@dataclass(frozen=True)
class Request:
    """What is sent, byte by byte; `Content-Length` is added unless a framing header is given."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    version: str = "HTTP/1.1"

    def encode(self) -> bytes:
        lines = [f"{self.method} {self.target} {self.version}", "Host: localhost"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        framed = any(name.lower() in ("content-length", "transfer-encoding") for name, _ in self.headers)
        if self.body is not None and not framed:
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + (self.body or b"")

    def __str__(self) -> str:
        body = b"" if self.body is None else self.body
        shown = body if len(body) < 3000 else body[:3000] + b"..."
        return f"{self.method} {self.target}\n  {dict(self.headers)}\n  {shown!r}"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """The body decoded; the text itself when it is neither JSON nor YAML."""
        try:
            if self.headers.get("content-type", "").startswith("application/yaml"):
                return yaml.load(self.body, yaml.CSafeLoader)
            return json.loads(self.body)
        except ValueError:
            return self.body.decode(errors="replace")


class Closed(Exception):
    """The server ended the connection instead of answering."""


class Connection:
    """One kept-alive connection to a server, opened when it is needed."""

    def __init__(self, base: str, tls: ssl.SSLContext) -> None:
        parts = urlsplit(base)
        assert parts.hostname is not None
        self._where = (parts.hostname, parts.port or 443)
        self._tls = tls
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._where, ssl=self._tls, limit=1 << 22)
        return self._streams

    async def another(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection beside this one."""
        return await asyncio.open_connection(*self._where, ssl=self._tls, limit=1 << 22)

    async def close(self) -> None:
        if self._streams is not None:
            writer, self._streams = self._streams[1], None
            writer.transport.abort()

    async def ask(self, request: Request) -> Answer:
        """The answer to a request. Raises Closed."""
        fresh = self._streams is None
        try:
            return await self._ask(request)
        except (ConnectionError, EOFError) as error:
            await self.close()
            if fresh:
                raise Closed(str(request)) from error
        try:
            return await self._ask(request)
        except (ConnectionError, EOFError) as error:
            await self.close()
            raise Closed(str(request)) from error

    async def glance(self, request: Request) -> Answer:
        """The beginning of an answer that may not end soon."""
        reader, writer = await self.another()
        try:
            writer.write(request.encode())
            async with asyncio.timeout(PATIENCE):
                status, headers = await read_head(reader)
            body = b""
            if "content-length" in headers:
                body = await reader.readexactly(int(headers["content-length"]))
            return Answer(status, headers, body)
        finally:
            writer.transport.abort()

    async def _ask(self, request: Request) -> Answer:
        reader, writer = await self.open()
        writer.write(request.encode())
        async with asyncio.timeout(PATIENCE):
            await writer.drain()
            answer = await read_answer(reader, request.method)
        if answer.headers.get("connection", "").lower() == "close":
            await self.close()
        return answer


async def read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Status and headers, behind any interim answers."""
    while True:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip("\r\n").split("\r\n")
        status = int(first.split()[1])
        if status >= 200:
            pairs = (line.partition(":") for line in lines)
            return status, {name.lower(): value.strip() for name, _, value in pairs}


async def read_answer(reader: asyncio.StreamReader, method: str = "GET") -> Answer:
    """A whole answer."""
    status, headers = await read_head(reader)
    if method == "HEAD" or status in (204, 304):
        return Answer(status, headers)
    if headers.get("transfer-encoding", "").lower() == "chunked":
        parts = []
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            parts.append((await reader.readexactly(size + 2))[:-2])
        await reader.readuntil(b"\r\n")
        return Answer(status, headers, b"".join(parts))
    if "content-length" in headers:
        return Answer(status, headers, await reader.readexactly(int(headers["content-length"])))
    return Answer(status, headers, await reader.read())
