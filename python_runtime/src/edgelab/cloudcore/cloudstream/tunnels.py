"""The listener for tunnels (10004): TLS with client certificates, one WebSocket a node; and the mesh's, many.

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
from collections.abc import Awaitable, Callable

from websockets.http11 import Request

from edgelab.cloudcore.cloudhub.acceptor import Acceptor, Turn
from edgelab.cloudcore.cloudhub.complaints import Complaints
from edgelab.cloudcore.cloudhub.handshakes import FAILED, watch_handshakes
from edgelab.cloudcore.cloudhub.hub import GOING_AWAY
from edgelab.cloudcore.cloudhub.link import Broken, Gone
from edgelab.cloudcore.cloudhub.peer import CHECK_NO_TIME, Door, Peer
from edgelab.cloudcore.cloudhub.websocket import OPEN_SECONDS, REFUSED_HEADER, shake_hands
from edgelab.cloudcore.cloudstream.meshlink import MeshLink
from edgelab.cloudcore.cloudstream.sessions import Session, Sessions, TunnelLink
from edgelab.cloudcore.meshrelay.relay import MeshConnection
from edgelab.protocol import mesh
from edgelab.protocol.tunnel import ADDRESS_HEADER, DATA_LIMIT, FEATURES, NODE_HEADER, PATH, VERSION

MESSAGE_LIMIT = DATA_LIMIT + 20
LONGEST_ADDRESS = 64


class TunnelListener:
    """A module: accepts tunnels on `sock` until cancelled."""

    name = "cloudstream/tunnels"

    def __init__(
        self,
        sessions: Sessions,
        door: Door,
        complaints: Complaints,
        sock: socket.socket,
        tls: ssl.SSLContext,
        *,
        mesh: Callable[[MeshConnection], Awaitable[None]],
    ) -> None:
        """`tls` requires client certificates; `mesh` serves what mesh agents connect."""
        self._mesh = mesh
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
            admitted = await self._let_in(link) if await shake_hands(link, sock, self._tls) else None
            if admitted is not None:
                turn.end()
            if isinstance(admitted, Session):
                await self._sessions.serve(admitted)
            elif admitted is not None:
                await self._mesh(admitted)
            await link.close(GOING_AWAY, "")
        finally:
            self._links.discard(link)

    def end_revoked(self, why: Callable[[Peer], str | None]) -> None:
        """Hang up on mesh agents whose certificates are revoked now; tunnels are the sessions'."""
        for link in self._links:
            if link.stands and why(link.peer):
                link.abort()

    async def _let_in(self, link: TunnelLink) -> Session | MeshLink | None:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                request = await link.request()
        except (TimeoutError, Gone) as error:
            if isinstance(error, Broken):
                self._complaints.tell("", FAILED, f"a tunnel's WebSocket: {error}", error.why)
            return None
        path = request.path.partition("?")[0]
        if self._refuse(link, request, path):
            return None
        if path == mesh.PATH:
            return MeshLink(link) if link.accept(keep=frozenset()) else None
        extended = request.headers.get(FEATURES) == VERSION
        if not link.accept(keep=frozenset(), headers={FEATURES: VERSION} if extended else {}):
            return None
        address = request.headers.get(ADDRESS_HEADER, "")[:LONGEST_ADDRESS]
        return Session(link.peer.node, address, link, extended=extended)

    def _refuse(self, link: TunnelLink, request: Request, path: str) -> bool:
        if path not in (PATH, mesh.PATH):
            link.reject(http.HTTPStatus.NOT_FOUND, "404 page not found\n", {})
            return True
        claimed = request.headers.get_all(NODE_HEADER) if path == PATH else [link.peer.node]
        refusal = self._door.refusal(claimed, link.peer)
        if refusal is None:
            return False
        node = link.peer.node if len(claimed) == 1 else ""
        self._complaints.tell(node, refusal.reason, f"a tunnel is refused: {refusal.text}")
        link.reject(refusal.status, refusal.text + "\n", {REFUSED_HEADER: refusal.reason})
        return True
