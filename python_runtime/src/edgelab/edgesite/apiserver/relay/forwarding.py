"""The proxy subresource: a reverse proxy as `proxy.UpgradeAwareHandler` and `net/http/httputil` are one."""

from __future__ import annotations

import asyncio
import posixpath
import zlib
from contextlib import suppress
from urllib.parse import quote

import h11
from aiohttp import web
from multidict import CIMultiDict

from edgelab.edgesite.apiserver.relay import rewriting, upgrades
from edgelab.edgesite.apiserver.relay.backend import Backend, Cut, decoded, why
from edgelab.edgesite.apiserver.relay.dialing import Trust, Unreached
from edgelab.edgesite.apiserver.relay.headers import copied, drop_hop_by_hop, forwarded_for, is_upgrade
from edgelab.edgesite.apiserver.relay.places import KEPT_IN_PATHS, Place
from edgelab.objects.status import ApiError

CORS = tuple(f"Access-Control-Allow-{name}" for name in ("Credentials", "Headers", "Methods", "Origin"))
CHUNK = 64 << 10
BODILESS = ("GET", "HEAD", "DELETE", "OPTIONS")


async def answer(request: web.Request, place: Place, trust: Trust) -> web.StreamResponse:
    """Pass the request on and its answer back. Raises ApiError."""
    path = _path(request.path)
    if is_upgrade(request):
        return await upgrades.answer(request, place._replace(path=path or "/"), trust)
    slash = request.path.endswith("/")
    if not path and not slash and request.method in ("GET", "HEAD"):
        query = f"?{_raw_query(request)}" if _raw_query(request) else ""
        there = quote(request.path, safe=KEPT_IN_PATHS)
        return web.Response(status=301, headers={"Location": f"{there}/{query}"})
    if slash and not path.endswith("/"):
        path += "/"
    links = rewriting.Links(request.path.removesuffix(path), place)
    place = place._replace(path=path or "/", query=_raw_query(request))
    return await _passed(request, place, trust, links)


def _raw_query(request: web.Request) -> str:
    """As the client wrote it."""
    return str(request.raw_path).partition("?")[2]


def _path(whole: str) -> str:
    """What is behind `/proxy`, cleaned as Go's `path.Join` does; empty for nothing."""
    parts = whole.strip("/").split("/")
    rest = "/".join(parts[parts.index("proxy", _before(parts)) + 1 :])
    if not rest:
        return ""
    cleaned = posixpath.normpath("/" + rest)
    return "/" + cleaned.lstrip("/")


def _before(parts: list[str]) -> int:
    """Where the subresource stands at the earliest: behind `api/v1[/namespaces/x]/plural/name`."""
    return 6 if parts[2] == "namespaces" else 4


async def _passed(
    request: web.Request, place: Place, trust: Trust, links: rewriting.Links
) -> web.StreamResponse:
    headers = _outgoing(request, place, links)
    length = request.headers.get("Content-Length")
    has_body = request.can_read_body
    if has_body and length is None:
        headers.append(("Transfer-Encoding", "chunked"))
    elif has_body or request.method not in BODILESS:
        headers.append(("Content-Length", length or "0"))
    sender: asyncio.Task[None] | None = None
    backend: Backend | None = None
    try:
        backend = await Backend.ask(place, trust, request.method, headers, has_body=has_body)
        if has_body:
            sender = asyncio.create_task(_send(request, backend))
        head = await backend.head()
        assert isinstance(head, h11.Response)
        return await _returned(request, backend, head, links)
    except (Unreached, Cut, OSError) as error:
        if isinstance(error, ConnectionError):
            raise
        raise ApiError(503, f"error trying to reach service: {why(error, place)}") from error
    finally:
        if sender is not None:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
        if backend is not None:
            backend.close()


def _outgoing(request: web.Request, place: Place, links: rewriting.Links) -> list[tuple[str, str]]:
    headers = copied(request)
    drop_hop_by_hop(headers)
    forwarded_for(headers, request)
    headers["X-Forwarded-Uri"] = links.forwarded(place)
    return [("Host", request.host), *headers.items()]


async def _send(request: web.Request, backend: Backend) -> None:
    """The client's body, no faster than the other server takes it; its answer may come before the end."""
    with suppress(Cut, h11.LocalProtocolError):
        async for chunk in request.content.iter_chunked(CHUNK):
            await backend.send(chunk)
        await backend.finish()


async def _returned(
    request: web.Request, backend: Backend, head: h11.Response, links: rewriting.Links
) -> web.StreamResponse:
    headers = CIMultiDict(decoded(head.headers))
    drop_hop_by_hop(headers)
    for name in CORS:
        headers.popall(name, None)
    reason = head.reason.decode("latin-1") or None
    chunks = backend.body()
    if "Location" in headers:
        headers["Location"] = links.rewritten(headers["Location"], request.host)
    elif rewriting.is_html(headers) and request.method != "HEAD":
        headers.popall("Content-Length", None)
        chunks = rewriting.page(chunks, headers.get("Content-Encoding", ""), links, request.host)
    response = web.StreamResponse(status=head.status_code, reason=reason, headers=headers)
    if "Content-Length" in headers:
        response.content_length = int(headers["Content-Length"])
    await response.prepare(request)
    try:
        async for chunk in chunks:
            await response.write(chunk)
    except (Cut, zlib.error) as error:
        if request.transport is not None:
            request.transport.abort()  # so that nobody takes it for the whole
        raise ConnectionResetError(str(error)) from error
    await response.write_eof()
    return response
