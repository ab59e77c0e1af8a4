"""Our end of a WebSocket, for the requests that are not passed on as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import WSMsgType, web

from edgelab.edgesite.apiserver.relay.headers import is_websocket, subprotocols

CLOSE_SECONDS = 5.0
LARGEST = 4 << 20
STREAMS = "v5.channel.k8s.io"
TUNNEL_PREFIX, TUNNEL_SUFFIX = "SPDY/3.1+", ".k8s.io"
TUNNEL = "SPDY/3.1+portforward.k8s.io"


def wants(request: web.Request, protocol: str) -> bool:
    """Whether a client opens a WebSocket and can speak this on it."""
    return is_websocket(request) and protocol in subprotocols(request)


def is_proper(request: web.Request) -> bool:
    """Whether there can be a handshake."""
    version, key = request.headers.get("Sec-WebSocket-Version", ""), request.headers.get("Sec-WebSocket-Key")
    return request.method == "GET" and version in ("13", "8", "7") and bool(key)


async def opened(request: web.Request, *protocols: str) -> web.WebSocketResponse:
    """After the handshake. What waits here is bounded by aiohttp's own limits."""
    socket = web.WebSocketResponse(
        protocols=protocols, compress=False, timeout=CLOSE_SECONDS, max_msg_size=LARGEST
    )
    await socket.prepare(request)
    return socket


async def messages(socket: web.WebSocketResponse) -> AsyncIterator[bytes]:
    """What the client sends, until it closes."""
    async for message in socket:
        if message.type in (WSMsgType.BINARY, WSMsgType.TEXT):
            yield message.data if isinstance(message.data, bytes) else str(message.data).encode()
