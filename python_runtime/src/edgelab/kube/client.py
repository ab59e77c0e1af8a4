"""The Kubernetes API over HTTP(S): `edgelab.kube.interface.KubeApi` with raw JSON.

Requests are those of `edgelab.kube.requesting`, with its errors. A watch (on aiohttp) has a connection of its
own while it lasts.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import contextmanager

import aiohttp
import msgspec
from multidict import CIMultiDict

from edgelab.daemon.errors import Unreachable
from edgelab.kube.answers import failure, watch_over, watch_parameters, watch_seconds
from edgelab.kube.interface import Resource, WatchEvent
from edgelab.kube.kubeconfig import Kubeconfig
from edgelab.kube.requesting import CONNECT_SECONDS, REQUEST_SECONDS, RequestClient, path_of
from edgelab.objects.status import ApiError

SILENCE_SECONDS = 120.0
"""A watch without even a bookmark for so long is taken for dead; servers send one each minute."""


class HttpClient(RequestClient):
    """Client of one API server; use as an async context manager or call `close`."""

    def __init__(
        self,
        config: Kubeconfig,
        *,
        user_agent: str = "edgelab",
        field_manager: str = "edgelab",
        request_seconds: float = REQUEST_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        super().__init__(
            config, user_agent=user_agent, field_manager=field_manager, request_seconds=request_seconds
        )
        self._watch_timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_SECONDS, sock_read=silence_seconds
        )
        self._watches: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close all connections."""
        if self._watches is not None:
            await self._watches.close()
        self._watches = None
        await super().close()

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
        params = watch_parameters(watch_seconds(), resource_version, label_selector, field_selector)
        with self._attempt(), _reachable(self.config.server):
            async with self._follow(path_of(resource, namespace), params) as response:
                if response.status >= 400:
                    raise failure(response.status, await response.read())
                _keep_alive(response)
                if opened is not None:
                    opened()
                try:
                    async for line in _lines(response.content):
                        yield _event(line, resource)
                finally:
                    _hang_up(response)

    def _follow(self, path: str, params: Mapping[str, str]) -> aiohttp.client._RequestContextManager:
        return self._watching().get(
            self.config.server + path,
            params=dict(params),
            headers=CIMultiDict(self._headers()),
            timeout=self._watch_timeout,
            server_hostname=self.config.tls_server_name if self._ssl else None,
            allow_redirects=False,
        )

    def _watching(self) -> aiohttp.ClientSession:
        if self._watches is None or self._watches.closed:
            # Each lasts for minutes, so there is no limit.
            connector = aiohttp.TCPConnector(limit=0, ssl=self._ssl if self._ssl else True)
            self._watches = aiohttp.ClientSession(connector=connector)
        return self._watches


def _event(line: bytes, resource: Resource) -> WatchEvent:
    try:
        event = msgspec.json.decode(line)
        kind, obj = event["type"], event["object"]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        raise Unreachable(f"the watch of {resource.plural} was cut inside an event") from None
    if kind == "ERROR":
        raise ApiError.from_status(obj)
    return WatchEvent(kind, obj)


async def _lines(content: aiohttp.StreamReader) -> AsyncGenerator[bytes, None]:
    """Lines of any length (`StreamReader.readline` refuses long ones); a cut last line is given too."""
    rest = bytearray()
    async for chunk in content.iter_any():
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            line = bytes(rest) + chunk[start:end]
            rest.clear()
            start = end + 1
            if line.strip():
                yield line
        rest += chunk[start:]
    if rest.strip():
        yield bytes(rest)


def _keep_alive(response: aiohttp.ClientResponse) -> None:
    """Let the kernel find out within half a minute that a silent peer is gone."""
    transport = response.connection.transport if response.connection else None
    sock = transport.get_extra_info("socket") if transport else None
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    watch_over(sock)


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """End a watch that is not over: with TLS, a polite close would linger after its reader has gone."""
    if response.connection is not None and response.connection.transport is not None:
        response.connection.transport.abort()


@contextmanager
def _reachable(server: str) -> Iterator[None]:
    """Turn what aiohttp says about connections into Unreachable."""
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as error:
        reason = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
        raise Unreachable(f"{server}: the server's certificate is not accepted: {reason}") from error
    except TimeoutError:
        raise
    except aiohttp.ClientError as error:
        raise Unreachable(f"{server}: {error or type(error).__name__}") from error
