"""The router's port: HTTP, or HTTPS when `edgelab.router` names a certificate; renewed files are taken over.

Bounds: `CONNECTIONS` at a time, one more is closed; a connection whose first request is not there after
`HEAD_SECONDS`, or that is silent for `IDLE_SECONDS` between two, is closed.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

from aiohttp import web

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.errors import Fatal
from edgelab.settings.cloudcore import EdgelabRouter

log = logging.getLogger("edgelab.cloudcore.router")

quiet = logging.getLogger("edgelab.cloudcore.router.http")
quiet.setLevel(logging.CRITICAL)  # what is no HTTP is answered with 400; anybody can send it, and fill a log

CONNECTIONS = 1024
HEAD_SECONDS, IDLE_SECONDS = 30.0, 75.0
LINGER_SECONDS = 5.0
"""That a client has to notice an answer while it still sends."""
LOOK_SECONDS = 60.0
"""Between two looks at whether the certificate was renewed."""
NO_ROOM = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Listener:
    """A module: serves on `sock` until cancelled. Raises Fatal for certificates that cannot be used.

    `announce` is called once it serves, and for each renewed certificate, with its SHA-256 in hex.
    """

    name = "router"

    def __init__(
        self,
        handler: Handler,
        sock: socket.socket,
        settings: EdgelabRouter,
        clock: Clock = SYSTEM,
        *,
        announce: Callable[[str], None] = lambda fingerprint: None,
    ) -> None:
        self.listening = asyncio.Event()
        self._handler = handler
        self._sock = sock
        self._settings = settings
        self._clock = clock
        self._announce = announce
        self._tls = context(settings)
        self._stamps = _stamps(settings)
        self._begun: set[asyncio.BaseProtocol] = set()

    async def run(self) -> None:
        """Serve until cancelled."""
        # The client may leave: then nobody waits for the reply any more.
        server = web.Server(
            self._handle,
            handler_cancellation=True,
            keepalive_timeout=IDLE_SECONDS,
            lingering_time=LINGER_SECONDS,
            access_log=None,
            logger=quiet,
        )
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(lambda: self._protocol(server), sock=self._sock, ssl=self._tls)
        self._announce(fingerprint(self._settings))
        self.listening.set()
        try:
            while True:
                await self._clock.sleep(LOOK_SECONDS)
                self._renew()
        finally:
            listener.close()
            await server.shutdown(1.0)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self._begun.discard(request.protocol)
        try:
            return await self._handler(request)
        except Exception:  # one request that trips us is one answer
            log.exception("a request could not be treated")
            return web.Response(status=500, text="the router has a defect; its log has more\n")

    def _protocol(self, server: web.Server) -> asyncio.BaseProtocol:
        if len(server.connections) >= CONNECTIONS:
            return _Refusing()
        protocol = server()
        self._begun.add(protocol)
        asyncio.get_running_loop().call_later(HEAD_SECONDS, self._look, protocol)
        return protocol

    def _look(self, protocol: web.RequestHandler) -> None:
        """A connection without a request is not kept."""
        if protocol in self._begun:
            self._begun.discard(protocol)
            if protocol.transport is not None:
                protocol.transport.abort()

    def _renew(self) -> None:
        stamps = _stamps(self._settings)
        if self._tls is None or stamps == self._stamps:
            return
        try:
            self._tls.load_cert_chain(self._settings.tlsCertFile, self._settings.tlsPrivateKeyFile)
        except (OSError, ssl.SSLError) as error:
            log.error("edgelab.router.tlsCertFile: %s; the older certificate stays in use", error)
        else:
            log.info("the router's renewed certificate is in use")
            self._stamps = stamps
            self._announce(fingerprint(self._settings))


class _Refusing(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say so and close."""
        wire = cast("asyncio.WriteTransport", transport)  # uvloop's is one in all but name
        wire.write(NO_ROOM)
        wire.close()


def context(settings: EdgelabRouter) -> ssl.SSLContext | None:
    """TLS as the settings want it. Raises Fatal."""
    if not settings.tlsCertFile:
        return None
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.minimum_version = ssl.TLSVersion.TLSv1_2
    tls.set_alpn_protocols(["http/1.1"])
    try:
        tls.load_cert_chain(settings.tlsCertFile, settings.tlsPrivateKeyFile)
        if settings.clientCAFile:
            tls.load_verify_locations(settings.clientCAFile)
            tls.verify_mode = ssl.CERT_OPTIONAL
    except (OSError, ssl.SSLError) as error:
        raise Fatal(f"edgelab.router: the certificate files cannot be used: {error}") from None
    return tls


def fingerprint(settings: EdgelabRouter) -> str:
    """SHA-256 of the certificate that is shown, in hex; empty without TLS, or when it cannot be read now."""
    if not settings.tlsCertFile:
        return ""
    try:
        text = Path(settings.tlsCertFile).read_text(encoding="ascii", errors="replace")
        end = text.index(ssl.PEM_FOOTER) + len(ssl.PEM_FOOTER)
        der = ssl.PEM_cert_to_DER_cert(text[text.index(ssl.PEM_HEADER) : end])
    except (OSError, ValueError):
        return ""
    return hashlib.sha256(der).hexdigest()


def _stamps(settings: EdgelabRouter) -> list[tuple[int, int]]:
    """What changes when a file is replaced."""
    found = []
    for path in (settings.tlsCertFile, settings.tlsPrivateKeyFile):
        try:
            status = os.stat(path)
        except OSError:
            continue
        found.append((status.st_ino, status.st_mtime_ns))
    return found
