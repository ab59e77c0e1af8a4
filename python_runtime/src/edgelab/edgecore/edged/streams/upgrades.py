"""exec, attach, portForward: the runtime gives a URL of its streaming server, and the request goes on there.

What follows on the connection (SPDY/3.1 or a WebSocket, from the runtime's 101 on) is passed on byte by byte,
as a kubelet does (`pkg/kubelet/server/server.go: proxyStream`). A runtime that has no such server is served
here (`serving`).
"""

from __future__ import annotations

import asyncio
import ssl
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from edgelab.cri.runtime import Runtime
from edgelab.daemon.tasks import Supervisor
from edgelab.edgecore.edged.streams import containers
from edgelab.edgecore.edged.streams.options import ports, stream_options
from edgelab.edgecore.kubelet import Pipe, Refused, Request

if TYPE_CHECKING:
    from edgelab.edgecore.edged.streams.serving.server import Server

Obj = dict[str, Any]

DIAL_SECONDS = 10.0
READ_LIMIT = 64 << 10
UNSAFE = ("\r", "\n", "\0")


class Upgrades:
    """Connects to `runtime`'s streaming server, or is it."""

    def __init__(self, runtime: Runtime, tasks: Supervisor) -> None:
        """`tasks` owns what is served here, for a runtime without a streaming server."""
        self._runtime = runtime
        self._tasks = tasks

    @cached_property
    def _here(self) -> Server | None:
        """The streaming server of a runtime that has none."""
        if self._runtime.joining is None:
            return None
        from edgelab.edgecore.edged.streams.serving.server import Server  # noqa: PLC0415 - for Docker only

        return Server(self._runtime.joining, self._tasks)

    async def exec(self, request: Request, pod: Obj, name: str) -> Pipe:
        """Run a command. Raises Refused, RuntimeUnreachable, CriError."""
        wanted = stream_options(request.query)
        if not wanted.command:
            raise Refused(400, "you must specify a command")
        container = await containers.running(self._runtime, pod, name)
        if self._here is not None:
            return await self._here.exec(request, container, wanted.command, wanted.streams)
        streams = {"stdin": wanted.stdin, "stdout": wanted.stdout, "stderr": wanted.stderr}
        url = await self._runtime.exec_url(container, wanted.command, tty=wanted.tty, **streams)
        return await pass_on(request, url)

    async def attach(self, request: Request, pod: Obj, name: str) -> Pipe:
        """Join what runs already. Raises Refused, RuntimeUnreachable, CriError."""
        wanted = stream_options(request.query)
        container = await containers.running(self._runtime, pod, name)
        if self._here is not None:
            return await self._here.attach(request, container, wanted.streams)
        streams = {"stdin": wanted.stdin, "stdout": wanted.stdout, "stderr": wanted.stderr}
        return await pass_on(request, await self._runtime.attach_url(container, tty=wanted.tty, **streams))

    async def ports(self, request: Request, pod: Obj) -> Pipe:
        """Reach ports of the pod. Raises Refused, RuntimeUnreachable, CriError."""
        sandbox = await containers.sandbox(self._runtime, pod)
        if self._here is not None:
            return await self._here.ports(request, sandbox, ports(request.query))
        return await pass_on(request, await self._runtime.port_forward_url(sandbox, ports(request.query)))


async def pass_on(request: Request, url: str) -> Pipe:
    """Send the request to `url` with its own headers. Raises Refused."""
    place = urlsplit(url)
    host, port = place.hostname or "127.0.0.1", place.port or (443 if place.scheme == "https" else 80)
    head = _head(request, place.netloc, f"{place.path}?{place.query}" if place.query else place.path)
    try:
        async with asyncio.timeout(DIAL_SECONDS):
            reader, writer = await asyncio.open_connection(
                host, port, limit=READ_LIMIT, ssl=_any() if place.scheme == "https" else None
            )
    except (OSError, TimeoutError) as error:
        why = str(error) or f"no answer within {DIAL_SECONDS:g} s"
        raise Refused(502, f"the runtime's streaming server {place.netloc} is not reached: {why}") from None
    writer.write(head)
    return Pipe(reader, writer)


def _head(request: Request, host: str, target: str) -> bytes:
    lines = [f"{request.method} {target} HTTP/1.1", f"Host: {host}"]
    for name, values in request.headers.items():
        if name.lower() != "host":
            lines += [f"{name}: {value}" for value in values]
    if any(character in line for line in lines for character in UNSAFE):
        raise Refused(400, "a header of the request has a line break in it")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def _any() -> ssl.SSLContext:
    """The runtime is on this machine, and its certificate its own."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
