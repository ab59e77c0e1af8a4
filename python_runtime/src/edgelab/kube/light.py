"""Lists and watches, in a tenth of the memory that `HttpClient` takes with its aiohttp.

For programs at the edge that read from MetaServer on their own host, by plain HTTP, or by TLS and with a
token; no writes.
Raises `ApiError` and `Unreachable` as `edgelab.kube.client` does.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec

from edgelab.daemon.errors import Unreachable
from edgelab.kube.answers import failure, object_list, selectors, watch_over, watch_parameters, watch_seconds
from edgelab.kube.bearer import Bearer
from edgelab.kube.connection import Malformed
from edgelab.kube.interface import ObjectList, Resource, WatchEvent
from edgelab.kube.kubeconfig import Kubeconfig
from edgelab.kube.pool import Headers, Pool, Request
from edgelab.objects.status import ApiError

CONNECT_SECONDS = 10.0
REQUEST_SECONDS = 60.0
GRACE_SECONDS = 60.0
"""How much longer than asked for a watch may last."""
LINE_LIMIT = 4 << 20
"""Bytes of one event."""


class LightClient:
    """Reads one server. `close` ends its connections. Raises Fatal for certificates that cannot be read."""

    def __init__(self, config: Kubeconfig, *, user_agent: str = "edgelab") -> None:
        self._server = config.server.rstrip("/")
        self._config = config
        self._tls = config.ssl_context()
        self._bearer = Bearer(config)
        self._agent = user_agent
        self._pool = Pool(
            self._server,
            self._tls,
            limit=4,
            connect_seconds=CONNECT_SECONDS,
            server_name=config.tls_server_name,
        )

    async def close(self) -> None:
        """Close what is kept open."""
        await self._pool.close()

    async def list(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        label_selector: str = "",
        field_selector: str = "",
    ) -> ObjectList:
        """Read a collection."""
        request = Request(
            "GET", resource.path(namespace), selectors(label_selector, field_selector), self._headers()
        )
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                answer = await self._pool.send(request)
        except TimeoutError:
            raise Unreachable(f"{self._server}: no answer in time") from None
        except (OSError, Malformed) as error:
            raise Unreachable(f"{self._server}: {error or type(error).__name__}") from error
        if answer.status >= 400:
            raise failure(answer.status, answer.body)
        return object_list(resource, _decoded(answer.body))

    async def watch(
        self,
        resource: Resource,
        namespace: str | None = None,
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        opened: Callable[[], None] | None = None,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Changes after `resource_version`, until the server ends the stream."""
        seconds = watch_seconds()
        params = watch_parameters(seconds, resource_version, label_selector, field_selector)
        stream = _Stream(self._server, self._tls, self._config.tls_server_name)
        end = asyncio.get_running_loop().time() + seconds + GRACE_SECONDS
        try:
            await stream.open(resource.path(namespace), params, self._headers())
            if opened is not None:
                opened()
            while True:
                async with asyncio.timeout_at(end):
                    line = await stream.line()
                if line is None:
                    return
                yield _event(line)
        except TimeoutError:
            raise Unreachable(f"{self._server}: no answer in time") from None
        except (OSError, EOFError, Malformed) as error:
            raise Unreachable(f"{self._server}: {error or type(error).__name__}") from error
        finally:
            stream.close()

    def _headers(self) -> Headers:
        return [("Accept", "application/json"), ("User-Agent", self._agent), *self._bearer.headers()]


class _Stream:
    """An answer without an end, in chunks or until the connection closes."""

    def __init__(self, server: str, tls: ssl.SSLContext | None, server_name: str | None) -> None:
        self._url = urlsplit(server)
        self._tls = tls
        self._name = server_name
        self._writer: asyncio.StreamWriter | None = None
        self._buffer = bytearray()
        self._is_chunked = False

    async def open(self, path: str, params: Mapping[str, str], headers: Headers) -> None:
        """Ask; returns once the head is there. Raises ApiError when it is a failure."""
        async with asyncio.timeout(REQUEST_SECONDS):
            self._reader, self._writer = await asyncio.open_connection(
                self._url.hostname,
                self._url.port or (443 if self._tls else 80),
                ssl=self._tls,
                server_hostname=self._name if self._tls else None,
                limit=64 << 10,
            )
            watch_over(self._writer.get_extra_info("socket"))
            lines = [f"GET {path}?{urlencode(params)} HTTP/1.1", f"Host: {self._url.netloc}"]
            lines += [f"{name}: {value}" for name, value in headers]
            self._writer.write("\r\n".join([*lines, "", ""]).encode())
            try:
                head = await self._reader.readuntil(b"\r\n\r\n")
                status = int(head.split(b" ", 2)[1])
            except (asyncio.LimitOverrunError, ValueError, IndexError):
                raise Malformed("the answer is not HTTP/1.1") from None
            self._is_chunked = b"\r\ntransfer-encoding: chunked\r\n" in head.lower()
            if status >= 400:
                raise failure(status, bytes(await self._some()))

    async def line(self) -> bytes | None:
        """The next line; None at the end."""
        while (at := self._buffer.find(b"\n")) < 0:
            data = await self._some()
            if not data:
                return None
            self._buffer += data
            if len(self._buffer) > LINE_LIMIT:
                raise Malformed(f"an event of more than {LINE_LIMIT} bytes")
        line = bytes(self._buffer[:at])
        del self._buffer[: at + 1]
        return line if line.strip() else await self.line()

    async def _some(self) -> bytes:
        """The next chunk, or whatever has come; empty at the end."""
        if not self._is_chunked:
            return await self._reader.read(64 << 10)
        try:
            size = int((await self._reader.readuntil(b"\r\n")).partition(b";")[0], 16)
        except (ValueError, asyncio.LimitOverrunError):
            raise Malformed("a chunk does not begin with its size") from None
        if not 0 <= size <= LINE_LIMIT:
            raise Malformed(f"a chunk of {size} bytes")
        return (await self._reader.readexactly(size + 2))[:-2]

    def close(self) -> None:
        if self._writer is not None:
            self._writer.transport.abort()


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Malformed("the answer is no JSON object") from None


def _event(line: bytes) -> WatchEvent:
    event = _decoded(line)
    kind, obj = event.get("type"), event.get("object")
    if not isinstance(kind, str) or not isinstance(obj, dict):
        raise Malformed("what is no event came in a watch")
    if kind == "ERROR":
        raise ApiError.from_status(obj)
    return WatchEvent(kind, obj)
