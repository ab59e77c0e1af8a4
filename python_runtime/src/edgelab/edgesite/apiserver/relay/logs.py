"""A container's log: the kubelet's answer, passed on as it comes (`registry/generic/rest/streamer.go`)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import suppress

import h11
from aiohttp import web

from edgelab.edgesite.apiserver.invalid import quote
from edgelab.edgesite.apiserver.refusals import NOT_ALLOWED, NOT_FOUND
from edgelab.edgesite.apiserver.relay import websockets
from edgelab.edgesite.apiserver.relay.backend import Backend, Cut, why
from edgelab.edgesite.apiserver.relay.dialing import Trust, Unreached
from edgelab.edgesite.apiserver.relay.headers import is_websocket, subprotocols
from edgelab.edgesite.apiserver.relay.places import Place
from edgelab.objects.status import ApiError

LARGEST_ERROR = 50_000
AGENT = "edgesite"
BASE64 = "base64.binary.k8s.io"
PROTOCOLS = ("binary.k8s.io", BASE64)
REDIRECTS = (301, 302, 303, 307, 308)
SERVER_SAYS = {
    401: "the server has asked for the client to provide credentials",
    404: NOT_FOUND,
    405: NOT_ALLOWED,
    409: "the server reported a conflict",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing"
    " the request",
}
ITS_WORDS = (403, 406, 415)
"""Codes with which the other server's own words are passed on."""


async def answer(request: web.Request, place: Place, trust: Trust, name: str) -> web.StreamResponse:
    """The log, until it or its reader ends. Raises ApiError."""
    backend, chunks = await opened(place, trust, name)
    try:
        if is_websocket(request) and websockets.is_proper(request):
            return await _in_messages(request, chunks)
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            async for chunk in chunks:
                await response.write(chunk)
        except Cut:
            pass  # what there was has been read
        await response.write_eof()
        return response
    finally:
        backend.close()


async def _in_messages(request: web.Request, chunks: AsyncIterator[bytes]) -> web.StreamResponse:
    """The log by a WebSocket, as a browser may want it (`wsstream.Reader`)."""
    offered = subprotocols(request)
    if offered and not set(offered) & set(PROTOCOLS):
        return web.Response(status=403)
    socket = await websockets.opened(request, *PROTOCOLS)

    async def send(data: bytes) -> None:
        if socket.ws_protocol == BASE64:
            await socket.send_str(base64.b64encode(data).decode())
        else:
            await socket.send_bytes(data)

    async def wait() -> None:
        async for _ in websockets.messages(socket):
            pass
        task.cancel()

    async def copy() -> None:
        with suppress(Cut, ConnectionError):
            await send(b"")
            async for chunk in chunks:
                await send(chunk)
        await socket.close()

    task = asyncio.create_task(copy())
    listener = asyncio.create_task(wait())
    try:
        await asyncio.wait([task])
    finally:
        for ended in (task, listener):
            ended.cancel()
        await asyncio.gather(task, listener, return_exceptions=True)
    return socket


async def opened(place: Place, trust: Trust, name: str) -> tuple[Backend, AsyncIterator[bytes]]:
    """The connection to the kubelet, and the log out of it. Raises ApiError."""
    backend: Backend | None = None
    try:
        backend = await Backend.ask(place, trust, "GET", [("Host", place.authority), ("User-Agent", AGENT)])
        head = await backend.head()
        if not 200 <= head.status_code <= 206:
            raise await _refusal(backend, head, name)
        return backend, backend.body()
    except (Unreached, Cut, OSError) as error:
        if backend is not None:
            backend.close()
        raise ApiError(500, f"Get {quote(place.url)}: {why(error, place)}", reason="") from error
    except BaseException:
        if backend is not None:
            backend.close()
        raise


async def _refusal(backend: Backend, head: h11.Response | h11.InformationalResponse, name: str) -> ApiError:
    code, aim = head.status_code, dict(head.headers).get(b"location", b"").decode("latin-1")
    if code in REDIRECTS and aim:
        return ApiError(500, f"Get {quote(aim)}: redirects forbidden", reason="")
    data = b""
    async for chunk in backend.body():
        data += chunk
        if len(data) >= LARGEST_ERROR:
            break
    return generic(code, data[:LARGEST_ERROR].decode(errors="replace"), "pods/log", name)


def generic(code: int, text: str, resource: str, name: str) -> ApiError:
    """`NewGenericHttpResponseChecker`: what another server's refusal becomes."""
    if code == 500:
        return ApiError(500, f"Internal error occurred: {text}", details={"causes": [{"message": text}]})
    if code == 400:
        return ApiError(400, text)
    details, where = {"name": name, "kind": resource}, f"( {resource} {name})"
    if code in SERVER_SAYS or code in ITS_WORDS:
        return ApiError(code, f"{SERVER_SAYS.get(code, text)} {where}", details=details)
    said = f"the server responded with the status code {code} but did not return more information"
    if code > 500:
        said = f"an error on the server ({quote(text)}) has prevented the request from succeeding"
    return ApiError(code, f"{said} {where}", reason="InternalError" if code > 500 else "", details=details)
