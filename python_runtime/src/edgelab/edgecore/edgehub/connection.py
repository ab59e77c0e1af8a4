"""One WebSocket connection to CloudCore (KubeEdge `pkg/viaduct`).

TLS with the node's certificate; no subprotocol, no compression, no pings. A peer that vanishes is
noticed by TCP: keepalive probes make it acknowledge something every few seconds, and how long it has
not is in TCP_INFO. The original, watching only its own writes, notices when a write fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator

from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from edgelab.daemon.errors import Unreachable
from edgelab.daemon.sockets import keep_alive
from edgelab.edgecore.edgehub.link import (
    OF_THE_CERTIFICATE,
    Disconnected,
    Distrusted,
    Endpoint,
    addresses,
)
from edgelab.edgecore.edgehub.websocket import WebSocket

TCP_TIMEOUT = 5.0
NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST")
"""OpenSSL's reasons when the other side speaks something else."""

REFUSED = "edgelab-refused"
"""A header of our CloudCore's answer: why it lets us not in."""

_LAST_ACK_RECEIVED = struct.Struct("=I")
_LAST_ACK_AT = 56
"""tcpi_last_ack_recv, the 13th word after eight bytes of struct tcp_info (linux/tcp.h); milliseconds."""
_TOLD_UP_TO = _LAST_ACK_AT + _LAST_ACK_RECEIVED.size
"""A kernel tells all of it; what stands in for one (QEMU's user-mode emulator) has only its first word."""


class WebSocketConnection:
    """An open connection: whole messages in both directions."""

    def __init__(self, websocket: WebSocket, sock: socket.socket, write_timeout: float) -> None:
        self._websocket = websocket
        self._socket = sock
        self._write_timeout = write_timeout

    def silence(self) -> float:
        """Seconds since the peer's TCP acknowledged anything, 0 where it is not told. Raises Disconnected."""
        try:
            info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TOLD_UP_TO)
        except OSError as error:
            raise Disconnected(_reason(error)) from error
        if len(info) < _TOLD_UP_TO:
            return 0.0
        return float(_LAST_ACK_RECEIVED.unpack_from(info, _LAST_ACK_AT)[0]) / 1000

    def header(self, name: str) -> str:
        """A header of CloudCore's answer to the upgrade; empty when it is not there."""
        return str(self._websocket.answer.get(name, ""))

    def ping(self, data: bytes) -> None:
        """Send a ping, which needs no answer here."""
        self._websocket.ping(data)

    def abort(self) -> None:
        """Drop the connection."""
        self._websocket.abort()

    async def send(self, frame: bytes) -> None:
        """Send one text message. Raises Disconnected, also when it cannot be written in time."""
        try:
            async with asyncio.timeout(self._write_timeout):
                await self._websocket.send(frame)
        except TimeoutError:
            raise Disconnected(f"nothing could be written for {self._write_timeout:g} s") from None
        except (ConnectionClosed, OSError) as error:
            raise Disconnected(_reason(error)) from error

    async def receive(self) -> bytes:
        """The next message, its fragments joined. Raises Disconnected."""
        try:
            return await self._websocket.receive()
        except (ConnectionClosed, OSError) as error:
            raise Disconnected(_reason(error)) from error


@contextlib.asynccontextmanager
async def open_connection(endpoint: Endpoint) -> AsyncIterator[WebSocketConnection]:
    """Connect; leaving the block closes. Raises Unreachable or Distrusted."""
    context = tls_context(endpoint)
    sock = await _dial(endpoint)
    websocket = WebSocket(endpoint.url, endpoint.headers)
    try:
        await _open(websocket, sock, context, endpoint)
    except BaseException:
        websocket.abort()
        sock.close()
        raise
    try:
        yield WebSocketConnection(websocket, sock, endpoint.write_timeout)
    finally:
        await websocket.close()


async def _open(
    websocket: WebSocket, sock: socket.socket, context: ssl.SSLContext, endpoint: Endpoint
) -> None:
    try:
        async with asyncio.timeout(endpoint.handshake_timeout):
            await asyncio.get_running_loop().create_connection(
                lambda: websocket, sock=sock, ssl=context, server_hostname=endpoint.host
            )
            await websocket.opened()
    except ssl.SSLError as error:
        if error.reason in NOT_TLS:
            raise Unreachable(f"{endpoint.server} does not speak TLS; is that CloudCore's port?") from error
        raise distrusted(error, endpoint) from error
    except InvalidStatus as error:
        if error.response.headers.get(REFUSED) in OF_THE_CERTIFICATE:
            raise Distrusted(f"{_refused(error)}; join again") from error
        raise Unreachable(_refused(error)) from error
    except (OSError, TimeoutError, InvalidHandshake) as error:
        if websocket.alert is not None:
            raise distrusted(websocket.alert, endpoint) from error
        raise Unreachable(f"{endpoint.server}: {_unanswered(error, endpoint)}") from error


def tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    """TLS that trusts the cluster's CA alone and shows the node's certificate. Raises Distrusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_verify_locations(endpoint.ca_file)
        context.load_cert_chain(endpoint.cert_file, endpoint.key_file)
    except (OSError, ssl.SSLError) as error:
        files = f"{endpoint.ca_file}, {endpoint.cert_file} or {endpoint.key_file}"
        raise Distrusted(f"{files} cannot be used: {error}; remove them and join again") from error
    return context


def distrusted(error: ssl.SSLError, endpoint: Endpoint) -> Distrusted:
    """Say what a failed handshake means."""
    text = str(getattr(error, "verify_message", "") or error.reason or error)
    if "not yet valid" in text or "expired" in text:
        fix = "check the clocks of this node and of the cloud"
    elif isinstance(error, ssl.SSLCertVerificationError):
        fix = f"it is not signed by {endpoint.ca_file} for this address; is this the right cloud?"
    else:
        fix = f"{endpoint.cert_file} may belong to another cluster or be too old; join again"
    return Distrusted(f"TLS with CloudCore at {endpoint.server} failed: {text}; {fix}")


async def _dial(endpoint: Endpoint) -> socket.socket:
    loop = asyncio.get_running_loop()
    last = "no address"
    try:
        for family, address in await addresses(endpoint, socket.SOCK_STREAM):
            sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            try:
                _watch_peer(sock, endpoint.dead_peer)
                async with asyncio.timeout(TCP_TIMEOUT):
                    await loop.sock_connect(sock, address)
                if sock.getsockname() == sock.getpeername():
                    # On one's own machine TCP may meet itself on a port where nobody listens.
                    raise ConnectionRefusedError(errno.ECONNREFUSED, "met itself")
            except (OSError, TimeoutError) as error:
                sock.close()
                number = getattr(error, "errno", None)
                last = os.strerror(number) if number else f"no answer within {TCP_TIMEOUT:g} s"
            except BaseException:
                sock.close()
                raise
            else:
                return sock
    except OSError as error:
        last = error.strerror or str(error)
    raise Unreachable(f"{endpoint.server}: {last}")


def _watch_peer(sock: socket.socket, seconds: float) -> None:
    """Let TCP probe its peer, and give up data that is not acknowledged for `seconds` (RFC 5482)."""
    probe = max(1, int(seconds // 4))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    keep_alive(sock, probe, probe, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


def _refused(error: InvalidStatus) -> str:
    response = error.response
    text = (response.body or b"").decode(errors="replace").strip().split("\n")[0]
    return f"CloudCore refused the connection: HTTP {response.status_code} {text}".rstrip()


def _unanswered(error: Exception, endpoint: Endpoint) -> str:
    if isinstance(error.__cause__, EOFError):
        # asyncio's TLS servers close without the alert that says why.
        return (
            "CloudCore closed the connection without an answer; "
            f"it may not accept {endpoint.cert_file} (made by another cluster?)"
        )
    return str(error) or type(error).__name__


def _reason(error: Exception) -> str:
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLError):
        return f"TLS: {cause.reason or cause}"
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
