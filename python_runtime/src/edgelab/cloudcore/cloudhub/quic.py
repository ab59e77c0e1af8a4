"""The QUIC listener for edge nodes (10001/udp), for edges of ours only: KubeEdge's is Google QUIC.

Receives: connections of EdgeCores with `modules.edgeHub.quic.enable`; one stream each. Gives: their links to
the reception, as the WebSocket listener does. The library's server asks for no client certificates, so the
edge proves its own on the stream (`edgelab.protocol.session.opening`); the door is the same.
Addresses are proven (RFC 9000, 8.1.2) before anything is kept for a connection.
Imported only when `modules.cloudHub.quic.enable` is true.
"""

from __future__ import annotations

import asyncio
import http
import logging
import secrets
import socket

from aioquic.asyncio.protocol import QuicStreamHandler
from aioquic.asyncio.server import QuicServer
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from cryptography.hazmat.primitives.serialization import Encoding

from edgelab.cloudcore.cloudhub.conversation import MALFORMED
from edgelab.cloudcore.cloudhub.handshakes import FAILED
from edgelab.cloudcore.cloudhub.link import MESSAGE_LIMIT, Broken, Gone
from edgelab.cloudcore.cloudhub.peer import FULL, Peer, peer_in
from edgelab.cloudcore.cloudhub.pki import Pki
from edgelab.cloudcore.cloudhub.quicwire import QuicLink, Wire
from edgelab.cloudcore.cloudhub.reception import NODE_HEADER, Reception
from edgelab.daemon.tasks import Supervisor
from edgelab.identity.ca import load_certificate, load_key
from edgelab.identity.proof import ProofError, verified
from edgelab.protocol.session import opening
from edgelab.protocol.session.opening import UNKNOWN_CERTIFICATE, OpeningError

OPEN_SECONDS = 15.0
IDLE_SECONDS = 60.0
"""Without any packet. The keepalive of a session that was opened is looked at by the reception."""


class _Refused(Exception):
    """The node is not let in: an HTTP status, a word for machines and a text."""

    def __init__(self, status: int, reason: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.reason = reason


class QuicListener:
    """A module: accepts nodes on the UDP socket `sock` until cancelled."""

    name = "cloudhub/quic"

    def __init__(
        self,
        reception: Reception,
        sock: socket.socket,
        pki: Pki,
        *,
        most: int,
        message_limit: int = MESSAGE_LIMIT,
    ) -> None:
        """`most` connections at a time, each has one stream. `message_limit` is in bytes."""
        self._reception = reception
        self._sock = sock
        self._authority = pki.ca
        self._most = most
        self._limit = message_limit
        self._certificate = load_certificate(pki.server.cert_pem)
        self._key = load_key(pki.server.key_pem)
        self._wires: set[Wire] = set()
        self._owner = Supervisor(self.name)
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Serve until cancelled."""
        # It tells of every connection; what matters of it is complained of here.
        logging.getLogger("quic").setLevel(logging.CRITICAL)
        configuration = QuicConfiguration(
            is_client=False,
            alpn_protocols=[opening.ALPN],
            certificate=self._certificate,
            private_key=self._key,
            idle_timeout=IDLE_SECONDS,
        )
        _, server = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: QuicServer(configuration=configuration, create_protocol=self._accept, retry=True),
            sock=self._sock,
        )
        self.listening.set()
        try:
            await asyncio.Event().wait()
        finally:
            await self._owner.close()
            server.close()

    def _accept(self, quic: QuicConnection, stream_handler: QuicStreamHandler | None = None) -> Wire:
        wire = Wire(quic, stream_handler, opened=self._opened, ended=self._ended)
        self._wires.add(wire)
        return wire

    def _opened(self, wire: Wire) -> None:
        if len(self._wires) > self._most:
            text = f"modules.cloudHub.quic.maxIncomingStreams is {self._most}, and so many are there"
            self._reception.complaints.tell("", FULL, text)
            wire.hang_up(http.HTTPStatus.SERVICE_UNAVAILABLE, f"{FULL}: {text}")
            return
        self._owner.spawn(self._receive(wire), "node")

    def _ended(self, wire: Wire, failure: str) -> None:
        self._wires.discard(wire)
        if failure:
            self._reception.complaints.tell("", FAILED, f"QUIC: no handshake: {failure}", "QUIC")

    async def _receive(self, wire: Wire) -> None:
        complaints = self._reception.complaints
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                link = await self._open(wire)
        except _Refused as refused:
            wire.hang_up(refused.status, f"{refused.reason}: {refused}")
        except TimeoutError:
            complaints.tell("", FAILED, f"QUIC: it did not say who it is for {OPEN_SECONDS:g} s", "silent")
            wire.hang_up(http.HTTPStatus.REQUEST_TIMEOUT, "no proof came")
        except Broken as broken:
            complaints.tell("", broken.reason, f"QUIC: {broken}", "opening")
        except Gone as gone:
            complaints.tell("", FAILED, f"QUIC: it left before it was let in: {gone}", "left")
        else:
            await self._reception.converse(link)

    async def _open(self, wire: Wire) -> QuicLink:
        """Let a node in. Raises _Refused and Gone."""
        try:
            headers = opening.headers(await wire.receive())
            nonce = secrets.token_bytes(opening.NONCE_BYTES)
            await wire.send(opening.written(opening.Challenge(nonce)))
            proof = opening.read(await wire.receive(), opening.Proof)
        except OpeningError as error:
            self._reception.complaints.tell("", MALFORMED, f"QUIC: {error}", "opening")
            raise _Refused(http.HTTPStatus.BAD_REQUEST, MALFORMED, str(error)) from None
        peer = self._identified(proof, nonce)
        claimed = [headers[NODE_HEADER]] if NODE_HEADER in headers else []
        if refusal := self._reception.refusal(claimed, peer):
            raise _Refused(refusal.status, refusal.reason, refusal.text)
        wire.messages.limit = self._limit
        await wire.send(opening.written({}))
        return QuicLink(wire, peer, headers)

    def _identified(self, proof: opening.Proof, nonce: bytes) -> Peer:
        statement = opening.statement(nonce, self._certificate.public_bytes(Encoding.DER))
        try:
            return peer_in(verified(self._authority, proof.chain, proof.signature, statement))
        except ProofError as error:
            text = f"the client's certificate is not accepted: {error}"
            self._reception.complaints.tell("", FAILED, f"QUIC: {text}", "proof")
            raise _Refused(http.HTTPStatus.FORBIDDEN, UNKNOWN_CERTIFICATE, text) from None
