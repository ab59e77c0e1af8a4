"""One QUIC connection to a CloudCore of ours (KubeEdge's QUIC is Google QUIC, which is another protocol).

TLS verifies the server against the cluster's CA; the node proves its own certificate on the stream
(`edgelab.protocol.session.opening`). A peer that vanishes is noticed by its silence: it is asked for an
acknowledgement every few seconds; one whose port is closed, by the ICMP message that says so.
Imported only when `modules.edgeHub.quic.enable` is true: it loads `cryptography`, which costs memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterator
from typing import NamedTuple

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edgelab.daemon.errors import Fatal, Unreachable
from edgelab.daemon.extras import REQUIREMENTS
from edgelab.daemon.tasks import Supervisor
from edgelab.edgecore.edgehub.link import OF_THE_CERTIFICATE, Disconnected, Distrusted, Endpoint, addresses
from edgelab.edgecore.edgehub.quicwire import Closed, Wire
from edgelab.identity.proof import Prover, is_for_servers
from edgelab.protocol.session import opening
from edgelab.protocol.session.opening import ALPN, UNKNOWN_CERTIFICATE, OpeningError

IDLE_SECONDS = 60.0
TLS_ALERT = 0x100
"""What QUIC adds to a TLS alert (RFC 9001, 4.8)."""
NO_PROTOCOL = 120
OF_THE_SERVER = frozenset({42, 43, 44, 45, 46, 48})
"""Alerts about a certificate (RFC 8446, 6.2); only the server shows one in the handshake."""


class _Trust(NamedTuple):
    """Our own certificate and key, and the authority's certificates as PEM."""

    prover: Prover
    authority: bytes


class StreamConnection:
    """An open connection: whole messages in both directions."""

    def __init__(self, wire: Wire, write_timeout: float) -> None:
        self._wire = wire
        self._write_timeout = write_timeout

    def silence(self) -> float:
        """Seconds since the peer acknowledged or sent anything. Raises Disconnected."""
        return self._wire.silence()

    async def send(self, frame: bytes) -> None:
        """Send one message. Raises Disconnected, also when it cannot be written in time."""
        try:
            async with asyncio.timeout(self._write_timeout):
                await self._wire.send(frame)
        except TimeoutError:
            raise Disconnected(f"nothing could be written for {self._write_timeout:g} s") from None

    async def receive(self) -> bytes:
        """The next message. Raises Disconnected."""
        return await self._wire.receive()


@contextlib.asynccontextmanager
async def open_connection(endpoint: Endpoint) -> AsyncIterator[StreamConnection]:
    """Connect; leaving the block closes. Raises Unreachable or Distrusted."""
    logging.getLogger("quic").setLevel(logging.CRITICAL)  # it tells of every connection, and so do we
    trust = _trust(endpoint)
    wire = await _dial(endpoint, trust.authority)
    pings = Supervisor("edgehub/quic")
    try:
        await _introduce(wire, endpoint, trust.prover)
        pings.spawn(wire.ask_for_life(endpoint.dead_peer / 4), "ping")
        yield StreamConnection(wire, endpoint.write_timeout)
    finally:
        await pings.close()
        wire.hang_up()


def _trust(endpoint: Endpoint) -> _Trust:
    """Read the node's files. Raises Distrusted."""
    files = (endpoint.ca_file, endpoint.cert_file, endpoint.key_file)
    try:
        ca, certificate, key = (file.read_bytes() for file in files)
        authority = x509.load_pem_x509_certificates(ca)
        return _Trust(
            Prover(certificate, key), b"".join(found.public_bytes(Encoding.PEM) for found in authority)
        )
    except (OSError, ValueError) as error:
        names = f"{files[0]}, {files[1]} or {files[2]}"
        raise Distrusted(f"{names} cannot be used: {error}; remove them and join again") from error


async def _dial(endpoint: Endpoint, authority: bytes) -> Wire:
    """A connection after its handshake, by the first address that has one. Raises Unreachable, Distrusted."""
    failure = Unreachable(f"{endpoint.server}: no address")
    try:
        ways = await addresses(endpoint, socket.SOCK_DGRAM)
    except OSError as error:
        raise Unreachable(f"{endpoint.server}: {_text(error)}") from error
    for family, address in ways:
        try:
            return await _attempt(endpoint, authority, _socket(endpoint, family, address), len(ways))
        except Unreachable as error:
            failure = error
    raise failure


async def _attempt(endpoint: Endpoint, authority: bytes, sock: socket.socket, shares: int) -> Wire:
    """The handshake, in one of `shares` of its time. Raises Unreachable and Distrusted."""
    configuration = QuicConfiguration(
        alpn_protocols=[ALPN],
        server_name=endpoint.host,
        verify_mode=ssl.CERT_REQUIRED,
        cadata=authority,
        idle_timeout=IDLE_SECONDS,
    )
    _, wire = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Wire(QuicConnection(configuration=configuration)), sock=sock
    )
    seconds = endpoint.handshake_timeout / shares
    try:
        wire.connect(sock.getpeername())
        async with asyncio.timeout(seconds):
            await wire.opened.wait()
        wire.check()
    except TimeoutError:
        wire.hang_up()
        raise Unreachable(f"{endpoint.server}: no answer by UDP within {seconds:g} s") from None
    except Disconnected as error:
        wire.hang_up()
        raise _refused(endpoint, wire.closed, str(error)) from error
    except BaseException:
        wire.hang_up()
        raise
    return wire


def _socket(endpoint: Endpoint, family: int, address: tuple[str, int]) -> socket.socket:
    """A UDP socket that is told when nobody listens at the other end. Raises Unreachable."""
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.connect(address)
    except OSError as error:
        sock.close()
        raise Unreachable(f"{endpoint.server}: {_text(error)}") from error
    return sock


async def _introduce(wire: Wire, endpoint: Endpoint, prover: Prover) -> None:
    """Say and prove who we are. Raises Unreachable and Distrusted."""
    try:
        async with asyncio.timeout(endpoint.handshake_timeout):
            await wire.send(opening.written({name.lower(): text for name, text in endpoint.headers.items()}))
            challenge = opening.read(await wire.receive(), opening.Challenge)
            statement = opening.statement(challenge.nonce, _server(wire, endpoint))
            await wire.send(opening.written(opening.Proof(prover.chain, prover.sign(statement))))
            opening.read(await wire.receive(), dict[str, str])
    except TimeoutError:
        raise Unreachable(f"{endpoint.server}: no answer within {endpoint.handshake_timeout:g} s") from None
    except OpeningError as error:
        raise Unreachable(f"{endpoint.server} does not answer as our CloudCore does: {error}") from error
    except Disconnected as error:
        raise _refused(endpoint, wire.closed, str(error)) from error


def _server(wire: Wire, endpoint: Endpoint) -> bytes:
    """The server's certificate, DER. Raises Distrusted when it is none for servers, and Fatal."""
    certificate = wire.certificate()
    if certificate is None:
        raise Fatal(f"aioquic does not tell the server's certificate; install {REQUIREMENTS['aioquic']}")
    if not is_for_servers(certificate):
        raise Distrusted(f"the certificate that {endpoint.server} shows is not meant for servers")
    return certificate.public_bytes(Encoding.DER)


def _refused(endpoint: Endpoint, closed: Closed | None, why: str) -> Unreachable | Distrusted:
    """What the end of a connection before its first message means."""
    if closed is None:
        return Unreachable(f"{endpoint.server}: {why}")
    if closed.ours:
        return _sent_away(closed)
    if closed.code - TLS_ALERT in OF_THE_SERVER:
        return _distrusted(endpoint, closed.reason)
    if closed.code - TLS_ALERT == NO_PROTOCOL or "protocol version" in closed.reason:
        text = "does not speak our QUIC (a Go CloudCore speaks another); use modules.edgeHub.websocket"
        return Unreachable(f"{endpoint.server} {text}")
    return Unreachable(f"{endpoint.server}: {closed.reason or f'QUIC error {closed.code:#x}'}")


def _sent_away(closed: Closed) -> Unreachable | Distrusted:
    reason, _, text = closed.reason.partition(": ")
    said = f"CloudCore refused the connection: {closed.code} {text or reason}".rstrip()
    if reason in OF_THE_CERTIFICATE or reason == UNKNOWN_CERTIFICATE:
        return Distrusted(f"{said}; join again")
    return Unreachable(said)


def _distrusted(endpoint: Endpoint, text: str) -> Distrusted:
    if "valid" in text and "match" not in text:
        fix = "check the clocks of this node and of the cloud"
    else:
        fix = f"it is not signed by {endpoint.ca_file} for this address; is this the right cloud?"
    return Distrusted(f"TLS with CloudCore at {endpoint.server} failed: {text}; {fix}")


def _text(error: OSError) -> str:
    return error.strerror or os.strerror(error.errno or 0)
