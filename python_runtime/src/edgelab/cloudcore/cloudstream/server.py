"""The stream server: to the API server it is the kubelet of a node; requests go on through the node's tunnel.

Receives: requests of API servers, one a connection, on the listeners of `Listeners` (each belongs to a node)
or on the one port of the original (then the pod, or the address that was dialled, says which node is meant).
Sends: them through the node's tunnel. Keeps: nothing beyond what a connection has not taken yet. Without a
tunnel: 502 that names the node.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress

import h11

from edgelab.cloudcore.cloudstream.access import Access, Denied
from edgelab.cloudcore.cloudstream.exchange import Exchange, Left, while_there
from edgelab.cloudcore.cloudstream.paths import Target, proxied_node, target
from edgelab.cloudcore.cloudstream.sessions import Session, Sessions
from edgelab.cloudcore.cloudstream.stream import Cut, Stream
from edgelab.daemon.sockets import keep_alive
from edgelab.daemon.tasks import Supervisor

log = logging.getLogger("edgelab.cloudcore.cloudstream")

REQUEST_SECONDS = 30.0
ANSWER_SECONDS = 30.0
"""For the node to begin with an answer."""
CONNECTIONS = 4096
KEEPALIVE_SECONDS = 30
BUFFER = 64 << 10
BAD_GATEWAY = 502
"""What cannot be reached. kube-apiserver replaces the text of a 503 or 504 by one of its own."""
FOR_US = ("Authorization", "Host")
"""Headers that nodes do not get."""

Locate = Callable[[str, str], str | None]
"""`locate(namespace, pod)`: the node of a pod; empty when it has none yet, None when the pod is not known."""


class StreamServer:
    """Serves on sockets that are handed to `listen`; `close` ends all."""

    def __init__(self, sessions: Sessions, access: Access, locate: Locate) -> None:
        self.tls: ssl.SSLContext | None = None
        """Set before the first `listen`."""
        self._sessions = sessions
        self._access = access
        self._locate = locate
        self._clients = Supervisor("cloudstream/clients")
        self._open = 0

    async def listen(self, sock: socket.socket, node: str = "") -> asyncio.Server:
        """Serve on a socket that belongs to a node, or without one to all of them."""
        assert self.tls is not None

        def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if self._open >= CONNECTIONS:
                log.warning("a connection to the streams is refused: %d are open", CONNECTIONS)
                writer.transport.abort()
                return
            self._open += 1
            _keep_alive(writer)
            self._clients.spawn(self._serve(Exchange(reader, writer), node), "client")

        return await asyncio.start_server(
            client, sock=sock, ssl=self.tls, limit=BUFFER, ssl_handshake_timeout=REQUEST_SECONDS
        )

    async def close(self) -> None:
        """End all connections."""
        await self._clients.close()

    async def _serve(self, exchange: Exchange, node: str) -> None:
        try:
            await self._one(exchange, node)
        except (Left, TimeoutError):
            exchange.abort()
        except Cut as cut:  # after the answer has begun: its end must not look like a good one
            log.info("%s %s ends early: %s", exchange.method, exchange.path, cut)
            exchange.abort()
        else:
            await exchange.close()
        finally:
            self._open -= 1
            exchange.abort()

    async def _one(self, exchange: Exchange, node: str) -> None:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                await exchange.read()
        except h11.RemoteProtocolError as error:
            with suppress(h11.LocalProtocolError):
                await exchange.refuse(400, f"this is no HTTP request: {error}")
            return
        wanted = target(exchange.method, exchange.path)
        if wanted is None:
            await exchange.refuse(404, "404 page not found")
            return
        try:
            session = await self._admitted(exchange, wanted, node)
        except Denied as denied:
            await exchange.refuse(denied.status, str(denied))
            return
        except Cut as cut:
            await exchange.refuse(BAD_GATEWAY, str(cut))
            return
        if not wanted.is_upgrade:
            await self._answer(exchange, wanted, session)
        elif exchange.header("Upgrade"):
            await self._join(exchange, wanted, session)
        else:
            await exchange.refuse(400, "Upgrade request required")

    async def _admitted(self, exchange: Exchange, wanted: Target, node: str) -> Session:
        """The tunnel that is meant, if the client may use it. Raises Denied, Cut."""
        name = node or self._named(exchange, wanted)
        verb = wanted.verb(exchange.method)
        authorization = exchange.header("Authorization")
        await self._access.check(
            exchange.certificate, authorization, verb=verb, resource=wanted.resource, node=name
        )
        if node and wanted.pod and (where := self._locate(wanted.namespace, wanted.pod)) not in (None, node):
            raise Cut(f"pod {wanted.namespace}/{wanted.pod} is on node {where or 'none'}, not on {node}")
        session = self._sessions.of(name)
        if session is None:
            raise Cut(f"node {name or 'unknown'} has no tunnel to this CloudCore (modules.edgeStream)")
        return session

    def _named(self, exchange: Exchange, wanted: Target) -> str:
        """The node that a request to the one port is for."""
        if wanted.pod:
            return self._locate(wanted.namespace, wanted.pod) or ""
        if found := proxied_node(exchange.header("X-Forwarded-Uri")):
            return found
        session = self._sessions.at(exchange.header("Host").rpartition(":")[0].strip("[]"))
        return session.node if session else ""

    async def _opened(self, exchange: Exchange, wanted: Target, session: Session) -> Stream:
        headers = {k: v for k, v in exchange.headers.items() if k not in FOR_US}
        method = exchange.method if wanted.is_upgrade else ""
        return await session.open(wanted.kind, exchange.path, exchange.query, headers, method)

    # logs and pages

    async def _answer(self, exchange: Exchange, wanted: Target, session: Session) -> None:
        async with while_there(exchange):
            try:
                stream = await self._opened(exchange, wanted, session)
            except Cut as cut:
                await exchange.refuse(BAD_GATEWAY, str(cut))
                return
            try:
                if await self._begun(exchange, stream):
                    while data := await stream.receive():
                        await exchange.write(data)
                    await exchange.finish()
            finally:
                await asyncio.shield(session.release(stream))

    async def _begun(self, exchange: Exchange, stream: Stream) -> bool:
        """Send the head; False when there was none and the client was told so."""
        status, content_type = 200, "text/plain; charset=utf-8"
        if stream.extended:
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await asyncio.wait([stream.head])
            except TimeoutError:
                await exchange.refuse(BAD_GATEWAY, f"node {stream.node} gives no answer")
                return False
            if stream.head.cancelled():
                await exchange.refuse(BAD_GATEWAY, f"node {stream.node} gave no answer")
                return False
            head = stream.head.result()
            status, content_type = head.status, head.contentType
        await exchange.begin(status, content_type)
        return True

    # commands and ports

    async def _join(self, exchange: Exchange, wanted: Target, session: Session) -> None:
        try:
            stream = await self._opened(exchange, wanted, session)
        except Cut as cut:
            await exchange.refuse(BAD_GATEWAY, str(cut))
            return
        down: asyncio.Task[None] | None = None
        try:
            first = await self._first(exchange, stream)
            if first:
                down = asyncio.create_task(_down(exchange, stream), name="cloudstream/down")
                await exchange.write_raw(first)
                while data := await stream.receive():
                    await exchange.write_raw(data)
        finally:
            if down is not None:
                down.cancel()
                await asyncio.gather(down, return_exceptions=True)
            await asyncio.shield(session.release(stream))

    async def _first(self, exchange: Exchange, stream: Stream) -> bytes:
        """The beginning of the node's answer; empty when there was none and the client was told so."""
        why = "gave no answer"
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                if first := await stream.receive():
                    return first
        except TimeoutError:
            why = "gives no answer"
        except Cut as cut:
            why = f"gave no answer: {cut}"
        await exchange.refuse(BAD_GATEWAY, f"node {stream.node} {why}")
        return b""


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    """Notice a client whose power was cut."""
    keep_alive(writer.get_extra_info("socket"), KEEPALIVE_SECONDS, KEEPALIVE_SECONDS)


async def _down(exchange: Exchange, stream: Stream) -> None:
    """What the client sends, to the node; its end ends the node's side, and that this one."""
    with suppress(Cut):
        async for data in exchange.raw():
            await stream.send(data)
    stream.inbox.end()
