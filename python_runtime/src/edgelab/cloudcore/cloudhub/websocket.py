"""The WebSocket listener for edge nodes (10000): TLS with client certificates, one connection a session.

Facts: KubeEdge `pkg/viaduct` and `cloud/pkg/cloudhub/servers` (docs/reference/protocol.md): any path;
identity in the header `node_id`; one JSON document in one text message; no WebSocket pings, the
node sends a keepalive message.
Stricter than the original: `node_id` must be the name in the client certificate, and who is
refused is told so (403, 503) and disconnected.
"""

from __future__ import annotations

import asyncio
import http
import logging
import socket
import ssl
from contextlib import suppress

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from edgelab.cloudcore.cloudhub.hub import CloudHub, Session
from edgelab.cloudcore.cloudhub.lanes import Lanes
from edgelab.cloudcore.cloudhub.pki import USER_PREFIX
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message

log = logging.getLogger("edgelab.cloudcore.websocket")
library_log = logging.getLogger("edgelab.cloudcore.websockets")
library_log.setLevel(logging.WARNING)  # it tells of every connection, and so does the hub

MESSAGE_LIMIT = 64 << 20
OPEN_SECONDS = 15.0
CLOSE_SECONDS = 2.0
WINDOW_HEADER = "edgelab-window"


class NodeListener:
    """A module: accepts nodes on `sock` until cancelled."""

    name = "cloudhub/websocket"

    def __init__(
        self,
        hub: CloudHub,
        sock: socket.socket,
        tls: ssl.SSLContext,
        *,
        keepalive_seconds: float,
        write_seconds: float,
        window: int,
        clock: Clock = SYSTEM,
    ) -> None:
        self._hub = hub
        self._sock = sock
        self._tls = tls
        self._keepalive = keepalive_seconds
        self._write = write_seconds
        self._window = window
        self._clock = clock
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled."""
        async with serve(
            self._converse,
            sock=self._sock,
            ssl=self._tls,
            process_request=self._admit,
            compression=None,
            ping_interval=None,
            open_timeout=OPEN_SECONDS,
            close_timeout=CLOSE_SECONDS,
            max_size=MESSAGE_LIMIT,
            server_header=None,
            logger=library_log,
        ) as server:
            self.listening.set()
            await server.wait_closed()

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        node = request.headers.get("node_id", "")
        certified = _certified_name(connection)
        if not node or certified != USER_PREFIX + node:
            log.warning("a connection as node %r was refused: its certificate is for %r", node, certified)
            return connection.respond(http.HTTPStatus.FORBIDDEN, "the certificate is for another name\n")
        if self._hub.full(node):
            log.warning("node %s was refused: nodeLimit %d is reached", node, self._hub.node_limit)
            return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "the node limit is reached\n")
        return None

    async def _converse(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        headers = connection.request.headers
        session = Session(headers["node_id"], self._window_of(headers.get(WINDOW_HEADER, "")))
        lanes = Lanes(f"node/{session.node}", lambda message: self._hub.receive(session, message))
        self._hub.attach(session)
        parts = {
            asyncio.create_task(part, name=f"node/{session.node}/{name}")
            for name, part in (
                ("read", self._read(connection, session, lanes)),
                ("write", self._write_out(connection, session)),
                ("ended", session.ended.wait()),
            )
        }
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._hub.detach(session)
            for part in parts:
                part.cancel()
            for result in await asyncio.gather(*parts, return_exceptions=True):
                if isinstance(result, Exception) and not isinstance(result, ConnectionClosed):
                    log.error("node %s: the session failed", session.node, exc_info=result)
            await lanes.close()
            with suppress(ConnectionClosed):
                await connection.close(reason=session.reason[:100])

    async def _read(self, connection: ServerConnection, session: Session, lanes: Lanes) -> None:
        """Take in messages; ends when the node closes, is silent for too long or sends nonsense."""
        try:
            while True:
                async with asyncio.timeout(self._keepalive):
                    frame = await connection.recv(decode=False)
                self._hub.counts["received"] += 1
                try:
                    message = wire.decode(frame)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    session.end(f"sent something that is no message: {error}")
                    return
                await self._take(session, lanes, message)
        except TimeoutError:
            session.end(f"no keepalive for {self._keepalive:g} s")

    async def _take(self, session: Session, lanes: Lanes, message: Message) -> None:
        operation = message.route.operation
        if operation == "keepalive":
            return
        if operation in ("response", "error"):
            # Acknowledgements free the window; they never wait behind requests.
            await self._hub.receive(session, message)
            return
        await lanes.submit(message)

    async def _write_out(self, connection: ServerConnection, session: Session) -> None:
        try:
            while True:
                session.wake.clear()
                for message in session.outbox.poll(self._clock.monotonic()):
                    async with asyncio.timeout(self._write):
                        await connection.send(wire.encode(message), text=True)
                    self._hub.counts["sent"] += 1
                if not session.wake.is_set():
                    await self._until_due(session)
        except TimeoutError:
            session.end(f"did not take a message for {self._write:g} s")

    async def _until_due(self, session: Session) -> None:
        due = session.outbox.next_due()
        delay = None if due is None else max(0.0, due - self._clock.monotonic())
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await session.wake.wait()

    def _window_of(self, text: str) -> int:
        return min(int(text), self._window) if text.isdecimal() and text != "0" else 1


def _certified_name(connection: ServerConnection) -> str:
    """The common name of the client's certificate, which TLS has verified."""
    peer = connection.transport.get_extra_info("peercert") or {}
    for part in peer.get("subject", ()):
        for key, value in part:
            if key == "commonName":
                return str(value)
    return ""
