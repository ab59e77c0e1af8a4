"""The WebSocket listener for edge nodes (10000): TLS with client certificates, one connection a session.

Facts: KubeEdge `pkg/viaduct` and `cloud/pkg/cloudhub/servers` (docs/reference/protocol.md): any path;
identity in the header `node_id`; one JSON document in one text message; no WebSocket pings, the
node sends a keepalive message.
Stricter than the original: `node_id` must be the name in the client certificate, and who is
refused is told so (400, 403, 503) and disconnected.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from contextlib import suppress

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.http11 import Request, Response

from edgelab.cloudcore.cloudhub.complaints import Complaints
from edgelab.cloudcore.cloudhub.handshakes import FAILED, watch_handshakes
from edgelab.cloudcore.cloudhub.link import BAD_FRAME, MESSAGE_LIMIT, OVERSIZE, Broken, Gone
from edgelab.cloudcore.cloudhub.peer import CHECK_NO_TIME, Peer, peer_of
from edgelab.cloudcore.cloudhub.reception import NODE_HEADER, Reception

library_log = logging.getLogger("edgelab.cloudcore.websockets")
library_log.setLevel(logging.WARNING)  # it tells of every connection, and so does the hub

OPEN_SECONDS = 15.0
CLOSE_SECONDS = 2.0
REFUSED_HEADER = "edgelab-refused"
"""Of an answer that lets nobody in: the reason, a word of docs/reference/protocol.md."""
BAD, TOO_BIG = 1002, 1009
"""Close codes of RFC 6455 that the library sends."""


class NodeListener:
    """A module: accepts nodes on `sock` until cancelled."""

    name = "cloudhub/websocket"

    def __init__(
        self,
        reception: Reception,
        sock: socket.socket,
        tls: ssl.SSLContext,
        *,
        message_limit: int = MESSAGE_LIMIT,
    ) -> None:
        """`tls` requires client certificates. `message_limit` is in bytes."""
        self._reception = reception
        self._sock = sock
        self._tls = tls
        self._limit = message_limit
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled."""
        complaints = self._reception.complaints
        # Who comes too late is told so by name, which a failed handshake could not do.
        self._tls.verify_flags |= CHECK_NO_TIME
        watch_handshakes(self._tls, lambda why: complaints.tell("", FAILED, f"TLS: {why}", why))
        quiet = _OneLine(complaints)
        library_log.addFilter(quiet)
        try:
            await self._serve()
        finally:
            library_log.removeFilter(quiet)

    async def _serve(self) -> None:
        async with serve(
            self._converse,
            sock=self._sock,
            ssl=self._tls,
            process_request=self._admit,
            compression=None,
            ping_interval=None,
            open_timeout=OPEN_SECONDS,
            close_timeout=CLOSE_SECONDS,
            max_size=self._limit,
            server_header=None,
            logger=library_log,
        ) as server:
            self.listening.set()
            await server.wait_closed()

    async def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        refusal = self._reception.refusal(request.headers.get_all(NODE_HEADER), _peer(connection))
        if refusal is None:
            return None
        response = connection.respond(refusal.status, refusal.text + "\n")
        response.headers[REFUSED_HEADER] = refusal.reason
        return response

    async def _converse(self, connection: ServerConnection) -> None:
        await self._reception.converse(WebSocketLink(connection, self._limit))


class WebSocketLink:
    """A node's WebSocket, as `Link` has it."""

    __slots__ = ("_connection", "_limit", "peer")

    def __init__(self, connection: ServerConnection, limit: int) -> None:
        """`limit` is what the library was told, in bytes."""
        self._connection = connection
        self._limit = limit
        self.peer = _peer(connection)

    def header(self, name: str) -> list[str]:
        """All values of a header of the handshake."""
        assert self._connection.request is not None
        return self._connection.request.headers.get_all(name)

    async def receive(self) -> bytes:
        """The next message, its fragments joined. Raises Gone."""
        try:
            return await self._connection.recv(decode=False)
        except ConnectionClosed as closed:
            raise self._why(closed) from closed

    async def send(self, frame: bytes) -> None:
        """Send one text message. Raises Gone."""
        try:
            await self._connection.send(frame, text=True)
        except ConnectionClosed as closed:
            raise Gone(str(closed)) from closed

    async def close(self, code: int, reason: str) -> None:
        """Close with a code of RFC 6455."""
        with suppress(ConnectionClosed):
            await self._connection.close(code, reason[:100])

    def _why(self, closed: ConnectionClosed) -> Gone:
        """What the library closed a connection for that it did not lose."""
        sent = closed.sent
        if sent is None or closed.rcvd_then_sent or sent.code not in (BAD, TOO_BIG):
            return Gone(str(closed))
        if sent.code == TOO_BIG:
            text = f"it sent a message of more than {self._limit} bytes"
            return Broken(OVERSIZE, text, sent.code, sent.reason)
        return Broken(BAD_FRAME, f"it does not speak WebSocket: {sent.reason}", sent.code, sent.reason)


class _OneLine(logging.Filter):
    """Turns what the library says of failed connections, with a traceback each, into complaints."""

    def __init__(self, complaints: Complaints) -> None:
        super().__init__()
        self._complaints = complaints

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record goes on as it is."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, WebSocketException | OSError | EOFError):
            return True  # what is no fault of the other side keeps its traceback
        self._complaints.tell("", FAILED, f"{record.getMessage()}: {error.__cause__ or error}")
        return False


def _peer(connection: ServerConnection) -> Peer:
    """The client's certificate, which TLS has verified."""
    return peer_of(connection.transport.get_extra_info("peercert"))
