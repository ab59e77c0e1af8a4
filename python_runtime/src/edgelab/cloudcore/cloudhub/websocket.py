"""The WebSocket listener for edge nodes (10000): TLS with client certificates, one connection a session.

Facts: KubeEdge `pkg/viaduct` and `cloud/pkg/cloudhub/servers` (docs/reference/protocol.md): any path;
identity in the header `node_id`; one JSON document in one text message; no WebSocket pings, the
node sends a keepalive message.
Stricter than the original: `node_id` must be the name in the client certificate, and who is
refused is told so (400, 403, 503) and disconnected.
A message that is none is dropped and complained of; after `PATIENCE` of them in a row the session ends.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from contextlib import suppress

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.http11 import Request, Response

from edgelab.cloudcore.cloudhub.complaints import Complaints
from edgelab.cloudcore.cloudhub.handshakes import FAILED, watch_handshakes
from edgelab.cloudcore.cloudhub.hub import LATER, NO_MESSAGE, CloudHub, Session
from edgelab.cloudcore.cloudhub.lanes import Lanes
from edgelab.cloudcore.cloudhub.peer import CHECK_NO_TIME, Door, Peer, Refusal, peer_of
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message

log = logging.getLogger("edgelab.cloudcore.websocket")
library_log = logging.getLogger("edgelab.cloudcore.websockets")
library_log.setLevel(logging.WARNING)  # it tells of every connection, and so does the hub

MESSAGE_LIMIT = 64 << 20
OPEN_SECONDS = 15.0
CLOSE_SECONDS = 2.0
WINDOW_HEADER, RESEND_HEADER = "edgelab-window", "edgelab-resend"
REFUSED_HEADER = "edgelab-refused"
"""Of an answer that lets nobody in: the reason, a word of docs/reference/protocol.md."""
PATIENCE = 16
BAD, TOO_BIG = 1002, 1009
"""Close codes of RFC 6455 that the library sends."""
MALFORMED, OVERSIZE, BAD_FRAME = "MalformedMessage", "MessageTooLarge", "MalformedFrame"


class NodeListener:
    """A module: accepts nodes on `sock` until cancelled."""

    name = "cloudhub/websocket"

    def __init__(
        self,
        hub: CloudHub,
        sock: socket.socket,
        tls: ssl.SSLContext,
        door: Door,
        *,
        keepalive_seconds: float,
        write_seconds: float,
        window: int,
        message_limit: int = MESSAGE_LIMIT,
        clock: Clock = SYSTEM,
    ) -> None:
        """`tls` requires client certificates. `message_limit` is in bytes."""
        self._hub = hub
        self._sock = sock
        self._tls = tls
        self._door = door
        self._limit = message_limit
        self._keepalive = keepalive_seconds
        self._write = write_seconds
        self._window = window
        self._clock = clock
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled."""
        complaints = self._hub.complaints
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
        refusal = self._refusal(request.headers.get_all("node_id"), _peer(connection))
        if refusal is None:
            return None
        response = connection.respond(refusal.status, refusal.text + "\n")
        response.headers[REFUSED_HEADER] = refusal.reason
        return response

    def _refusal(self, claimed: list[str], peer: Peer) -> Refusal | None:
        refusal = self._door.refusal(claimed, peer)
        if refusal is not None:
            # The complaint is of the node in the certificate: what the header claims is proven by nothing.
            self._hub.complaints.tell(peer.node, refusal.reason, f"a connection was refused: {refusal.text}")
        return refusal

    async def _converse(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        headers = connection.request.headers
        window = self._window_of(headers.get_all(WINDOW_HEADER))
        session = Session(headers["node_id"], window, _peer(connection))
        # Others may have come, and certificates been revoked, since this one was admitted.
        if refusal := self._refusal([session.node], session.peer):
            await connection.close(LATER, refusal.text[:100])
            return
        lanes = Lanes(
            f"node/{session.node}",
            lambda message: self._hub.receive(session, message),
            lambda message, error: self._hub.failed(session, message, error),
        )
        self._hub.attach(session, resend=headers.get_all(RESEND_HEADER) == ["1"])
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
                await connection.close(session.code, session.reason[:100])

    async def _read(self, connection: ServerConnection, session: Session, lanes: Lanes) -> None:
        """Take in messages; ends when the node closes or is silent for too long."""
        nonsense = 0
        try:
            while nonsense < PATIENCE:
                async with asyncio.timeout(self._keepalive):
                    frame = await connection.recv(decode=False)
                self._hub.counts["received"] += 1
                try:
                    message = wire.decode(frame)
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    nonsense += 1
                    self._complain(session, MALFORMED, f"it sent something that is no message: {error}")
                    continue
                nonsense = 0
                await self._take(session, lanes, message)
            session.end(f"sent {PATIENCE} messages in a row that are none", NO_MESSAGE)
        except TimeoutError:
            session.end(f"no keepalive for {self._keepalive:g} s")
        except ConnectionClosed as closed:
            self._explain(session, closed)

    def _explain(self, session: Session, closed: ConnectionClosed) -> None:
        """What the library closed a connection for that it did not lose."""
        if closed.sent is None or closed.rcvd_then_sent or closed.sent.code not in (BAD, TOO_BIG):
            return
        if closed.sent.code == TOO_BIG:
            self._complain(session, OVERSIZE, f"it sent a message of more than {self._limit} bytes")
        else:
            self._complain(session, BAD_FRAME, f"it does not speak WebSocket: {closed.sent.reason}")
        session.end(closed.sent.reason, closed.sent.code)

    def _complain(self, session: Session, reason: str, text: str) -> None:
        self._hub.counts["nonsense"] += 1
        self._hub.complaints.tell(session.node, reason, text)

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

    def _window_of(self, wishes: list[str]) -> int:
        wish = wishes[0] if len(wishes) == 1 else ""
        return min(int(wish), self._window) if wish.isdecimal() and len(wish) < 9 and wish != "0" else 1


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
