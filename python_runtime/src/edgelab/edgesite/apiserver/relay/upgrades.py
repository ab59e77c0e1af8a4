"""Connections that become another protocol, passed on as they are (`proxy.UpgradeAwareHandler`)."""

from __future__ import annotations

import asyncio

import h11
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from multidict import CIMultiDict

from edgelab.edgesite.apiserver.relay.backend import SWITCHED, Backend, Cut, decoded
from edgelab.edgesite.apiserver.relay.dialing import Trust, Unreached, keep_alive
from edgelab.edgesite.apiserver.relay.headers import copied, drop_hop_by_hop, forwarded_for
from edgelab.edgesite.apiserver.relay.pipes import Side, join
from edgelab.edgesite.apiserver.relay.places import Place
from edgelab.objects.status import ApiError

ANSWER_SECONDS = 10.0
LARGEST_REFUSAL = 1 << 20
Head = h11.Response | h11.InformationalResponse


class Taken(web.StreamResponse):
    """The answer of a handler that took the connection over: there is nothing more to write."""

    def __init__(self) -> None:
        super().__init__(status=SWITCHED)
        self.force_close()

    @property
    def prepared(self) -> bool:
        """It has gone out."""
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Nothing."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing."""


async def answer(request: web.Request, place: Place, trust: Trust) -> web.StreamResponse:
    """Ask the other server for the same upgrade and join both connections. Raises ApiError."""
    headers = copied(request)
    forwarded_for(headers, request)
    backend, head = await asked(request, place, trust, request.method, headers)
    try:
        if head.status_code != SWITCHED:
            return await refusal(backend, head)
        transport, early = backend.release()
    except Cut as error:
        raise ApiError(500, str(error), reason="") from error
    finally:
        backend.close()
    return await _joined(request, transport, head, early)


async def asked(
    request: web.Request, place: Place, trust: Trust, method: str, headers: CIMultiDict[str]
) -> tuple[Backend, Head]:
    """The connection to the other server, and what it answered. Raises ApiError."""
    body = await request.read() if request.can_read_body else b""
    sent = [("Host", request.host), *headers.items()]
    if body or method not in ("GET", "HEAD"):
        sent.append(("Content-Length", str(len(body))))
    try:
        backend = await Backend.ask(place, trust, method, sent, has_body=bool(body))
    except Unreached as error:
        raise ApiError(500, f"error dialing backend: {error}", reason="") from error
    try:
        if body:
            await backend.send(body)
            await backend.finish()
        head = await backend.head()
    except Cut as error:
        backend.close()
        raise ApiError(500, "unexpected EOF" if str(error) == "EOF" else str(error), reason="") from error
    except BaseException:
        backend.close()
        raise
    if head.status_code < 400 and head.status_code != SWITCHED:
        backend.close()
        raise ApiError(500, f"invalid upgrade response: status code {head.status_code}", reason="")
    return backend, head


async def refusal(backend: Backend, head: Head) -> web.Response:
    """The other server's refusal as it is."""
    data = b""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            async for chunk in backend.body():
                data += chunk
                if len(data) > LARGEST_REFUSAL:
                    break
    except (Cut, TimeoutError):
        pass
    headers = CIMultiDict(decoded(head.headers))
    drop_hop_by_hop(headers)
    headers.popall("Content-Length", None)
    response = web.Response(
        status=head.status_code, reason=head.reason.decode("latin-1") or None, body=data, headers=headers
    )
    response.force_close()
    return response


async def _joined(
    request: web.Request, transport: asyncio.Transport, head: Head, early: bytes
) -> web.StreamResponse:
    """The client's connection joined with the other server's, until both are closed."""
    ours, response = request.transport, Taken()
    if ours is None:
        transport.abort()
        raise ConnectionResetError("the client went away")
    loop, protocol = asyncio.get_running_loop(), request.protocol
    try:
        await request.app.on_response_prepare.send(request, response)
        client, server = Side(ours), Side(transport)
        ours.write(_head(head) + early)
        await join(client, server)
    except BaseException:
        transport.abort()
        raise
    finally:
        loop.call_soon(protocol.connection_lost, None)  # aiohttp has not heard of it
    return response


def keep_alive_client(request: web.Request) -> None:
    """Notice a client whose power was cut."""
    connected = request.get_extra_info("socket")
    if connected is not None:
        keep_alive(connected)


def _head(head: Head) -> bytes:
    reason = head.reason.decode("latin-1") or "Switching Protocols"
    lines = [f"HTTP/1.1 {head.status_code} {reason}"]
    lines += [
        f"{name.decode('latin-1')}: {value.decode('latin-1')}" for name, value in head.headers.raw_items()
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
