"""The WebSocket listener for edge nodes (10000): TLS with client certificates, one connection a session.

Facts: KubeEdge `pkg/viaduct` and `cloud/pkg/cloudhub/servers` (docs/reference/protocol.md): any path;
identity in the header `node_id`; one JSON document in one text message; no WebSocket pings, the
node sends a keepalive message.
Stricter than the original: `node_id` must be the name in the client certificate, and who is
refused is told so (400, 403, 503) and disconnected.
"""

from __future__ import annotations

import asyncio
import http
import logging
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from edgelab.cloudcore.cloudhub.acceptor import Acceptor, Turn
from edgelab.cloudcore.cloudhub.handshakes import FAILED, expect_endings, watch_handshakes
from edgelab.cloudcore.cloudhub.hub import GOING_AWAY
from edgelab.cloudcore.cloudhub.link import MESSAGE_LIMIT, Broken, Gone
from edgelab.cloudcore.cloudhub.peer import CHECK_NO_TIME
from edgelab.cloudcore.cloudhub.reception import HEADERS, NODE_HEADER, Reception
from edgelab.cloudcore.cloudhub.websocketlink import CLOSE_SECONDS, WebSocketLink

log = logging.getLogger("edgelab.cloudcore.websockets")

OPEN_SECONDS = 15.0
"""For TLS, and then for the request, once a connection has its turn."""
REFUSED_HEADER = "edgelab-refused"
"""Of an answer that lets nobody in: the reason, a word of docs/reference/protocol.md."""


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
        self._tls = tls
        self._limit = message_limit
        self._links: set[WebSocketLink] = set()
        self._acceptor = Acceptor(self.name, sock, self._receive)
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled; then tell the nodes."""
        # Who comes too late is told so by name, which a failed handshake could not do.
        self._tls.verify_flags |= CHECK_NO_TIME
        watch_handshakes(self._tls, self._tls_failed)
        with expect_endings(self._tls_failed):
            self.listening.set()
            try:
                await self._acceptor.run()
            finally:
                await asyncio.gather(*(link.close(GOING_AWAY, "") for link in list(self._links)))
                await self._acceptor.close()

    def _tls_failed(self, why: str) -> None:
        self._complain(f"TLS: {why}", why)

    def _complain(self, text: str, detail: str) -> None:
        """Of somebody who has not proven who it is."""
        self._reception.complaints.tell("", FAILED, text, detail)

    async def _receive(self, sock: socket.socket, turn: Turn) -> None:
        """Work on one connection until it ends."""
        link = WebSocketLink(self._limit)
        with self._known(link):
            if await shake_hands(link, sock, self._tls) and await self._let_in(link):
                turn.end()
                await self._reception.converse(link)
            else:
                await link.close(GOING_AWAY, "")

    @contextmanager
    def _known(self, link: WebSocketLink) -> Iterator[None]:
        self._links.add(link)
        try:
            yield
        finally:
            self._links.discard(link)

    async def _let_in(self, link: WebSocketLink) -> bool:
        """Whether the node asks to be let in, and is."""
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                request = await link.request()
        except TimeoutError:
            self._complain(f"WebSocket: no request came for {OPEN_SECONDS:g} s", "silent")
            return False
        except Broken as broken:
            self._complain(f"WebSocket: {broken.why}: {broken}", broken.why)
            return False
        except Gone:
            return False
        try:
            refusal = self._reception.refusal(request.headers.get_all(NODE_HEADER), link.peer)
        except Exception:  # a defect of ours must not leave the node waiting
            log.exception("a node could not be let in")
            link.reject(http.HTTPStatus.INTERNAL_SERVER_ERROR, "the cloud's log says why\n", {})
            return False
        if refusal is None:
            return link.accept(keep=HEADERS)
        link.reject(refusal.status, refusal.text + "\n", {REFUSED_HEADER: refusal.reason})
        return False


async def shake_hands(link: WebSocketLink, sock: socket.socket, tls: ssl.SSLContext) -> bool:
    """TLS with who was accepted; whether it stands. What fails of it is told by the TLS object."""
    try:
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: link,
            sock,
            ssl=tls,
            ssl_handshake_timeout=OPEN_SECONDS,
            ssl_shutdown_timeout=CLOSE_SECONDS,
        )
    except OSError:
        sock.close()
        return False
    return link.stands  # uvloop takes a node's hanging up meanwhile for no error
