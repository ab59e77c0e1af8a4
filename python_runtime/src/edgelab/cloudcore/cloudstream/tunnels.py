"""The listener for tunnels (10004): TLS with client certificates, one WebSocket a node.

Facts: KubeEdge `cloud/pkg/cloudstream` (docs/reference/streams.md): path /v1/kubeedge/connect, the node's
name and address in headers, frames in messages of text.
Stricter than the original, where any certificate may claim any node and needs none at all: the name must be
that of the certificate, and who is refused is told so (400, 403, 404) and disconnected.
"""

from __future__ import annotations

import asyncio
import http
import socket
import ssl

from websockets.http11 import Request

from edgelab.cloudcore.cloudhub.acceptor import Acceptor, Turn
from edgelab.cloudcore.cloudhub.complaints import Complaints
from edgelab.cloudcore.cloudhub.handshakes import FAILED, watch_handshakes
from edgelab.cloudcore.cloudhub.hub import GOING_AWAY
from edgelab.cloudcore.cloudhub.link import Broken, Gone
from edgelab.cloudcore.cloudhub.peer import CHECK_NO_TIME, Door
from edgelab.cloudcore.cloudhub.websocket import OPEN_SECONDS, REFUSED_HEADER
from edgelab.cloudcore.cloudhub.websocketlink import CLOSE_SECONDS
from edgelab.cloudcore.cloudstream.sessions import Session, Sessions, TunnelLink
from edgelab.protocol.tunnel import ADDRESS_HEADER, DATA_LIMIT, FEATURES, NODE_HEADER, PATH, VERSION

MESSAGE_LIMIT = DATA_LIMIT + 20
LONGEST_ADDRESS = 64


class TunnelListener:
    """A module: accepts tunnels on `sock` until cancelled."""

    name = "cloudstream/tunnels"

    def __init__(
        self, sessions: Sessions, door: Door, complaints: Complaints, sock: socket.socket, tls: ssl.SSLContext
    ) -> None:
        """`tls` requires client certificates."""
        self._sessions = sessions
        self._door = door
        self._complaints = complaints
        self._tls = tls
        self._links: set[TunnelLink] = set()
        self._acceptor = Acceptor(self.name, sock, self._receive)
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled; then tell the nodes."""
        self._tls.verify_flags |= CHECK_NO_TIME  # who comes too late is told so by name
        watch_handshakes(self._tls, self._tls_failed)
        self.listening.set()
        try:
            await self._acceptor.run()
        finally:
            await asyncio.gather(*(link.close(GOING_AWAY, "") for link in list(self._links)))
            await self._acceptor.close()

    def _tls_failed(self, why: str) -> None:
        self._complaints.tell("", FAILED, f"TLS of a tunnel: {why}", why)

    async def _receive(self, sock: socket.socket, turn: Turn) -> None:
        link = TunnelLink(MESSAGE_LIMIT)
        self._links.add(link)
        try:
            session = await self._let_in(link) if await self._shake_hands(link, sock) else None
            if session is None:
                await link.close(GOING_AWAY, "")
            else:
                turn.end()
                await self._sessions.serve(session)
                await link.close(GOING_AWAY, "")
        finally:
            self._links.discard(link)

    async def _shake_hands(self, link: TunnelLink, sock: socket.socket) -> bool:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: link,
                sock,
                ssl=self._tls,
                ssl_handshake_timeout=OPEN_SECONDS,
                ssl_shutdown_timeout=CLOSE_SECONDS,
            )
        except OSError:
            sock.close()
            return False
        return link.stands

    async def _let_in(self, link: TunnelLink) -> Session | None:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                request = await link.request()
        except (TimeoutError, Gone) as error:
            if isinstance(error, Broken):
                self._complaints.tell("", FAILED, f"a tunnel's WebSocket: {error}", error.why)
            return None
        if self._refuse(link, request):
            return None
        extended = request.headers.get(FEATURES) == VERSION
        if not link.accept(keep=frozenset(), headers={FEATURES: VERSION} if extended else {}):
            return None
        address = request.headers.get(ADDRESS_HEADER, "")[:LONGEST_ADDRESS]
        return Session(link.peer.node, address, link, extended=extended)

    def _refuse(self, link: TunnelLink, request: Request) -> bool:
        if request.path.partition("?")[0] != PATH:
            link.reject(http.HTTPStatus.NOT_FOUND, "404 page not found\n", {})
            return True
        claimed = request.headers.get_all(NODE_HEADER)
        refusal = self._door.refusal(claimed, link.peer)
        if refusal is None:
            return False
        node = link.peer.node if len(claimed) == 1 else ""
        self._complaints.tell(node, refusal.reason, f"a tunnel is refused: {refusal.text}")
        link.reject(refusal.status, refusal.text + "\n", {REFUSED_HEADER: refusal.reason})
        return True
