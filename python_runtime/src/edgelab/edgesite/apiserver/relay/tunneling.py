"""Port forwarding through a WebSocket: SPDY in binary messages (`proxy.TunnelingHandler`).

kubectl asks for it this way since 1.31; the kubelet gets plain SPDY.
"""

from __future__ import annotations

import asyncio

from aiohttp import web
from multidict import CIMultiDict

from edgelab.edgesite.apiserver.relay import upgrades, websockets
from edgelab.edgesite.apiserver.relay.backend import SWITCHED, decoded
from edgelab.edgesite.apiserver.relay.dialing import Trust
from edgelab.edgesite.apiserver.relay.headers import copied, forwarded_for, subprotocols
from edgelab.edgesite.apiserver.relay.links import Link
from edgelab.edgesite.apiserver.relay.places import Place

VERSION = "X-Stream-Protocol-Version"
NO_HEADERS = "unable to upgrade: missing upgrade headers in response"


async def answer(request: web.Request, place: Place, trust: Trust) -> web.StreamResponse:
    """The tunnel, until one side closes it. Raises ApiError."""
    headers = _as_spdy(request)
    backend, head = await upgrades.asked(request, place, trust, "POST", headers)
    try:
        if head.status_code != SWITCHED:
            return await upgrades.refusal(backend, head)
        said = CIMultiDict(decoded(head.headers))
        if "spdy/3.1" not in said.get("Upgrade", "").lower():
            return web.Response(status=500, text=f"{NO_HEADERS}\n")
        link = Link(*backend.release())
    finally:
        backend.close()
    try:
        chosen = said.get(VERSION, "").strip()
        socket = await websockets.opened(request, *([websockets.TUNNEL_PREFIX + chosen] if chosen else []))
        await _tunnel(socket, link)
    finally:
        link.close()
    return socket


def _as_spdy(request: web.Request) -> CIMultiDict[str]:
    headers = copied(request)
    for name in [name for name in headers if name.lower().startswith("sec-websocket-")]:
        headers.popall(name, None)
    headers["Upgrade"] = "SPDY/3.1"
    headers.popall(VERSION, None)
    for protocol in subprotocols(request):
        if protocol.startswith(websockets.TUNNEL_PREFIX) and protocol.endswith(websockets.TUNNEL_SUFFIX):
            headers.add(VERSION, protocol.removeprefix(websockets.TUNNEL_PREFIX))
    forwarded_for(headers, request)
    return headers


async def _tunnel(socket: web.WebSocketResponse, link: Link) -> None:
    async def inward() -> None:
        try:
            async for data in websockets.messages(socket):
                await link.write(data)
        except OSError:
            pass  # the kubelet is gone, which the other direction notices
        finally:
            link.close()

    task = asyncio.create_task(inward())
    try:
        async for data in link.chunks():
            await socket.send_bytes(data)
    except ConnectionError:
        pass  # the client is gone
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await socket.close()
