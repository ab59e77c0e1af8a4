"""This node's end of the tunnel: asks CloudCore for endpoints elsewhere, and opens its own to others.

Receives: `dial` of the proxies; `Open` of CloudCore, which it obeys only for what is an endpoint of a
Service on this node. Sends: `Connect`, `Accept`, `Refuse`. Stores nothing. Without CloudCore `dial` fails at
once, and the connection is made again with growing delays; where a link died without a word, the first dial
that gets no connection in time finds out. Each proxied connection is a WebSocket of its own,
so a slow one holds up no other. `MOST_STREAMS` at once.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from pathlib import Path

from edgelab.daemon import backoff
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.pumping import carry, pair
from edgelab.daemon.tasks import Supervisor
from edgelab.edgemesh.proxy.dial import Dialer
from edgelab.edgemesh.settings import TunnelFiles
from edgelab.edgemesh.table import Endpoint, Table
from edgelab.edgemesh.tunnel.websocket import WebSocket, connect
from edgelab.protocol.mesh import (
    Accept,
    Connect,
    Failed,
    Hello,
    Message,
    Open,
    Opened,
    Refuse,
    Unreadable,
    decode,
    encode,
)

log = logging.getLogger("edgelab.edgemesh.tunnel")

FIRST_DELAY, LONGEST_DELAY = 1.0, 30.0
CONNECT_SECONDS = 5.0
"""For a connection of a Service to CloudCore, whose tunnel is up."""
CUT = (errno.EHOSTUNREACH, errno.ENETUNREACH)
OPEN_SECONDS = 12.0
"""For the answer to `Connect`; CloudCore gives the other node ten."""
MOST_STREAMS = 512


class Tunnel:
    """A module, and the dialer for endpoints of other nodes."""

    name = "tunnel"

    def __init__(
        self, settings: TunnelFiles, node: str, table: Table, near: Dialer, clock: Clock = SYSTEM
    ) -> None:
        self._settings = settings
        self._node = node
        self._table = table
        self._near = near
        self._clock = clock
        self._tasks = Supervisor("tunnel")
        self._streams = 0
        self._control: WebSocket | None = None
        self.is_up = False
        """Whether CloudCore is connected."""
        self._context: tuple[float, ssl.SSLContext] | None = None

    async def run(self) -> None:
        """Stay connected to CloudCore until cancelled."""
        delays = backoff.delays(FIRST_DELAY, LONGEST_DELAY)
        last = ""
        try:
            while True:
                try:
                    websocket = await self._opened(Hello())
                    log.info("the tunnel through CloudCore is up")
                    delays, last = backoff.delays(FIRST_DELAY, LONGEST_DELAY), ""
                    await self._obey(websocket)
                except (OSError, TimeoutError, Unreadable) as error:
                    if str(error) != last:
                        log.warning(
                            "no tunnel through CloudCore: %s; trying again", error or "no answer in time"
                        )
                    last = str(error)
                await self._clock.sleep(next(delays))
        finally:
            await self._tasks.close()

    async def dial(self, endpoint: Endpoint, protocol: str) -> socket.socket:
        """A socket whose other end is the endpoint. Raises OSError, TimeoutError."""
        if not self.is_up:
            raise ConnectionRefusedError(f"node {endpoint.node}: no tunnel through CloudCore now")
        self._room()
        websocket = await self._asked(Connect(endpoint.node, endpoint.ip, endpoint.port, protocol))
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                answer = decode(await websocket.receive())
            if not isinstance(answer, Opened):
                reason = answer.reason if isinstance(answer, Failed) else "an answer that is none"
                raise ConnectionRefusedError(f"node {endpoint.node}: {reason}")
        except BaseException as error:
            websocket.abort()
            if isinstance(error, Unreadable):
                raise ConnectionAbortedError(str(error)) from error
            raise
        ours, theirs = pair(datagrams=protocol == "UDP")
        self._tasks.spawn(self._carry(ours, websocket, datagrams=protocol == "UDP"), "stream")
        return theirs

    async def _asked(self, wanted: Connect) -> WebSocket:
        """A WebSocket for a connection; where CloudCore cannot be reached, its tunnel is given up as well."""
        before = self._control
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await self._opened(wanted)
        except OSError as error:  # TimeoutError is one
            is_cut = isinstance(error, TimeoutError) or error.errno in CUT
            if is_cut and before is not None and before is self._control:
                before.abort()
            raise

    async def _obey(self, websocket: WebSocket) -> None:
        """Do what CloudCore asks on the connection that stays. Raises ConnectionError when it is over."""
        self.is_up, self._control = True, websocket
        try:
            while True:
                message = decode(await websocket.receive())
                if isinstance(message, Open):
                    self._tasks.spawn(self._answer(websocket, message), "answer")
        finally:
            self.is_up, self._control = False, None
            websocket.abort()

    async def _answer(self, control: WebSocket, wanted: Open) -> None:
        try:
            sock, websocket = await self._reached(wanted)
        except (OSError, TimeoutError) as error:
            try:
                await control.send(encode(Refuse(wanted.id, str(error) or "no answer in time")))
            except ConnectionError:
                log.debug("CloudCore is gone before it was told: %s", error)
            return
        await self._carry(sock, websocket, datagrams=wanted.protocol == "UDP")

    async def _reached(self, wanted: Open) -> tuple[socket.socket, WebSocket]:
        if not self._table.has_endpoint(self._node, wanted.ip, wanted.port, wanted.protocol):
            raise PermissionError(f"{wanted.ip}:{wanted.port} is no endpoint of a Service on this node")
        self._room()
        sock = await self._near.dial(Endpoint(wanted.ip, wanted.port, self._node), wanted.protocol)
        try:
            return sock, await self._opened(Accept(wanted.id))
        except BaseException:
            sock.close()
            raise

    async def _carry(self, sock: socket.socket, websocket: WebSocket, *, datagrams: bool) -> None:
        self._streams += 1
        try:
            await carry(sock, websocket, datagrams=datagrams)
        finally:
            self._streams -= 1
            sock.close()
            websocket.close()

    def _room(self) -> None:
        if self._streams >= MOST_STREAMS:
            raise ConnectionRefusedError(f"the tunnel carries {MOST_STREAMS} connections already")

    async def _opened(self, first: Message) -> WebSocket:
        """A new WebSocket that has said what it is for."""
        websocket = await connect(self._settings.server, self._tls())
        await websocket.send(encode(first))
        return websocket

    def _tls(self) -> ssl.SSLContext:
        """Trusts the cluster's CA alone; anew when EdgeCore has renewed the certificate. Raises OSError."""
        files = self._settings
        changed = max(Path(name).stat().st_mtime for name in (files.tlsCaFile, files.tlsCertFile))
        if self._context is None or self._context[0] != changed:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_verify_locations(files.tlsCaFile)
            context.load_cert_chain(files.tlsCertFile, files.tlsPrivateKeyFile)
            self._context = (changed, context)
        return self._context[1]
