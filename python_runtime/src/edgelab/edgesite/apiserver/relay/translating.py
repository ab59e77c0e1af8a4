"""exec and attach by `v5.channel.k8s.io`, translated to SPDY (`proxy.StreamTranslatorHandler`).

kubectl asks for that since 1.31. Kubelets and container runtimes know SPDY and WebSockets up to v4,
which cannot close the standard input: so v5 ends here.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import web

from edgelab.edgesite.apiserver.invalid import dump, quote
from edgelab.edgesite.apiserver.relay import statuses, websockets
from edgelab.edgesite.apiserver.relay.backend import SWITCHED, Backend, Cut, Headers, decoded
from edgelab.edgesite.apiserver.relay.dialing import Trust, Unreached
from edgelab.edgesite.apiserver.relay.links import Link
from edgelab.edgesite.apiserver.relay.logs import AGENT, REDIRECTS
from edgelab.edgesite.apiserver.relay.options import StreamOptions
from edgelab.edgesite.apiserver.relay.places import Place
from edgelab.edgesite.apiserver.relay.spdystreams import Session
from edgelab.edgesite.apiserver.relay.statuses import Failed, Obj

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
NAMES = {STDOUT: "stdout", STDERR: "stderr", ERROR: "error"}
VERSIONS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io")
LARGEST_REFUSAL = 64 << 10


async def answer(
    request: web.Request, place: Place, trust: Trust, wanted: StreamOptions
) -> web.StreamResponse:
    """Run it, until it or its client ends. Failures are told on the WebSocket."""
    socket = await websockets.opened(request, websockets.STREAMS)
    with suppress(ConnectionError):
        first = STDOUT if wanted.stdout else STDERR if wanted.stderr else ERROR
        await socket.send_bytes(bytes([first]))  # it is open
        status = await _status(socket, place, trust, wanted)
        await socket.send_bytes(bytes([ERROR]) + _json(status))
        await socket.close()
    return socket


def _json(status: Obj) -> bytes:
    """In the order of the fields of `metav1.Status`."""
    return b"{" + ",".join(f'"{name}":{dump(value)}' for name, value in status.items()).encode() + b"}"


async def _status(socket: web.WebSocketResponse, place: Place, trust: Trust, wanted: StreamOptions) -> Obj:
    try:
        link, protocol = await _upgraded(place, trust)
    except Failed as error:
        return statuses.given(str(error)) or statuses.failure(str(error))
    session = Session(link, wanted.stream_types())
    try:
        return await _run(socket, session, protocol)
    except Failed as error:
        return statuses.failure(str(error))
    finally:
        link.close()


async def _upgraded(place: Place, trust: Trust) -> tuple[Link, str]:
    """The kubelet's side, and the version that it chose. Raises Failed."""
    headers: Headers = [("Host", place.authority), ("User-Agent", AGENT), ("Content-Length", "0")]
    headers += [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]
    headers += [("X-Stream-Protocol-Version", version) for version in VERSIONS]
    backend: Backend | None = None
    try:
        backend = await Backend.ask(place, trust, "POST", headers)
        head = await backend.head()
        said = {name.lower(): value for name, value in decoded(head.headers)}
        if head.status_code in REDIRECTS and "location" in said:
            raise Failed(f"error sending request: Post {quote(said['location'])}: redirect not allowed")
        if head.status_code != SWITCHED or "spdy/3.1" not in said.get("upgrade", "").lower():
            raise Failed(await _refusal(backend))
        return Link(*backend.release()), said.get("x-stream-protocol-version", "")
    except (Unreached, Cut) as error:
        why = "unexpected EOF" if str(error) == "EOF" else str(error)
        raise Failed(f"error sending request: Post {quote(place.url)}: {why}") from error
    finally:
        if backend is not None:
            backend.close()


async def _refusal(backend: Backend) -> str:
    data = b""
    with suppress(Cut):
        async for chunk in backend.body():
            data += chunk
            if len(data) > LARGEST_REFUSAL:
                break
    text = data.decode(errors="replace").strip()
    return text if statuses.given(text) is not None else f"unable to upgrade connection: {text}"


async def _run(socket: web.WebSocketResponse, session: Session, protocol: str) -> Obj:
    task = asyncio.create_task(_inward(socket, session))
    error = b""
    try:
        await session.open()
        async for name, data in session.received():
            if name == "error":
                error += data[: LARGEST_REFUSAL - len(error)]
            elif data:
                await socket.send_bytes(bytes([STDOUT if name == "stdout" else STDERR]) + data)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return statuses.ended(error, protocol)


async def _inward(socket: web.WebSocketResponse, session: Session) -> None:
    """Standard input and the size of the terminal; when the client goes, so does the command."""
    try:
        async for message in websockets.messages(socket):
            if not message:
                continue
            channel, data = message[0], message[1:]
            if channel == STDIN and data:
                await session.send("stdin", data)
            elif channel == RESIZE:
                await session.send("resize", data)
            elif channel == CLOSE and data[:1] == bytes([STDIN]):
                await session.finish("stdin")
    except OSError:
        pass  # the kubelet is gone, which the other direction notices
    else:
        session.abandon()
