"""The tunnels that stand, one a node.

Receives: frames of nodes. Sends: frames to them. Keeps: of each connection what its receiver has not taken
yet, WINDOW bytes of a node of ours and DATA_LIMIT of another at most. When a tunnel ends, all its connections
do; a newer tunnel of a node takes the older one's place.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count

from websockets.frames import Frame as WebSocketFrame
from websockets.frames import Opcode

from edgelab.cloudcore.cloudhub.hub import GOING_AWAY
from edgelab.cloudcore.cloudhub.link import Gone
from edgelab.cloudcore.cloudhub.peer import Peer
from edgelab.cloudcore.cloudhub.websocketlink import WebSocketLink
from edgelab.cloudcore.cloudstream.stream import Cut, Stream
from edgelab.daemon.flow import Overrun
from edgelab.protocol.tunnel import Frame, Kind, Malformed, connect, credit, decode, encode, read_head

log = logging.getLogger("edgelab.cloudcore.cloudstream")

SILENT_SECONDS = 30.0
"""A node pings every five seconds; one that is not heard of for so long is gone."""
WRITE_SECONDS = 30.0
STALL_SECONDS = 10.0
"""A node without credits can be held up only as a whole: for so long, then the connection whose receiver
takes nothing is ended instead."""
MOST = 1000
"""Connections of one node at a time."""

_numbers = count(1)


class TunnelLink(WebSocketLink):
    """A WebSocket that knows when the node was heard of last, pings included, and what of it was text."""

    __slots__ = ("_is_text", "_texts", "heard", "was_text")

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.heard = self._loop.time()
        self.was_text = False
        """Whether the message received last was text."""
        self._is_text = False
        self._texts: deque[bool] = deque()

    async def receive(self) -> bytes:
        """The next message. Raises Gone."""
        message = await super().receive()
        self.was_text = self._texts.popleft()
        return message

    def _take(self, frame: WebSocketFrame) -> None:
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
        before = len(self._arrived)
        super()._take(frame)
        if len(self._arrived) > before:
            self._texts.append(self._is_text)

    def data_received(self, data: bytes) -> None:
        """Bytes of the node."""
        self.heard = self._loop.time()
        super().data_received(data)


class Session:
    """One tunnel. `address` is what the node says of its own; `extended`: it is of ours."""

    def __init__(self, node: str, address: str, link: TunnelLink, *, extended: bool) -> None:
        self.node = node
        self.address = address
        self.extended = extended
        self._link = link
        self._sending = asyncio.Lock()
        self._ending: asyncio.Task[None] | None = None
        self.streams: dict[int, Stream] = {}

    @property
    def peer(self) -> Peer:
        """The node's certificate."""
        return self._link.peer

    async def open(
        self, kind: Kind, path: str, query: str, header: dict[str, list[str]], method: str = ""
    ) -> Stream:
        """Ask the node for something. Raises Cut."""
        if len(self.streams) >= MOST:
            raise Cut(f"{MOST} connections to node {self.node} are open already")
        stream = Stream(next(_numbers), self.node, self._send, extended=self.extended)
        self.streams[stream.number] = stream
        try:
            await self._send(stream.number, kind, connect(stream.number, path, query, header, method))
        except BaseException:
            del self.streams[stream.number]
            raise
        return stream

    async def release(self, stream: Stream) -> None:
        """Nobody wants it any more; the node is told, unless it has ended it itself."""
        self.streams.pop(stream.number, None)
        ended = stream.is_ended
        stream.end()
        if not ended:
            with suppress(Cut):
                await self._send(stream.number, Kind.REMOVE, b"")

    async def serve(self) -> str:
        """Take frames until the tunnel ends; gives why."""
        watching = asyncio.create_task(self._watch(), name=f"cloudstream/{self.node}/watch")
        why = ""
        try:
            while True:
                try:
                    await self._take(decode(await self._link.receive()))
                except Malformed as error:
                    log.warning("node %s: a frame is passed over: %s", self.node, error)
        except Gone as gone:
            why = str(gone)
        finally:
            watching.cancel()
            self.cut(why or "CloudCore ends")
        return why

    def cut(self, why: str) -> None:
        """End all connections."""
        for stream in self.streams.values():
            stream.end(f"the tunnel of node {self.node} was cut: {why}")

    def end(self, why: str) -> None:
        """End the tunnel; returns at once."""
        self._ending = self._ending or asyncio.create_task(
            self.close(why), name=f"cloudstream/{self.node}/end"
        )

    async def close(self, why: str) -> None:
        """End the tunnel."""
        self.cut(why)
        await self._link.close(GOING_AWAY, why)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._link.heard + SILENT_SECONDS - asyncio.get_running_loop().time())
            if self._link.heard + SILENT_SECONDS <= asyncio.get_running_loop().time():
                break
        await self.close(f"it was silent for {SILENT_SECONDS:g} s")

    async def _take(self, frame: Frame) -> None:
        stream = self.streams.get(frame.connection)
        if stream is None:  # it has ended here already, and the node does not know yet
            return
        if frame.kind == Kind.DATA:
            await self._deliver(stream, frame.data)
        elif frame.kind == Kind.REMOVE:
            stream.end()
        elif frame.kind == Kind.CREDIT:
            stream.room.add(credit(frame.data))
        elif frame.kind == Kind.HEAD and not stream.head.done():
            stream.head.set_result(read_head(frame.data))

    async def _deliver(self, stream: Stream, data: bytes) -> None:
        patience = 0.0 if self.extended else STALL_SECONDS  # it was told how much there is room for
        try:
            await stream.inbox.push(data, patience)
        except Overrun:
            log.warning("node %s: a connection is ended, as its reader takes nothing", self.node)
            stream.inbox.end(f"its reader took nothing for {STALL_SECONDS:g} s")

    async def _send(self, connection: int, kind: int, data: bytes) -> None:
        try:
            async with self._sending:
                async with asyncio.timeout(WRITE_SECONDS):
                    await self._link.send(encode(connection, kind, data))
        except TimeoutError:
            why = f"nothing could be written for {WRITE_SECONDS:g} s"
            await self.close(why)
            raise Cut(f"the tunnel of node {self.node} was cut: {why}") from None
        except Gone as gone:
            raise Cut(f"the tunnel of node {self.node} was cut: {gone}") from None


class Sessions:
    """All tunnels by node. `connected(node)` is called for each new one."""

    def __init__(self) -> None:
        self._by_node: dict[str, Session] = {}
        self.connected: list[Callable[[str], None]] = []

    def __len__(self) -> int:
        return len(self._by_node)

    def of(self, node: str) -> Session | None:
        """The tunnel of a node."""
        return self._by_node.get(node)

    def at(self, address: str) -> Session | None:
        """The tunnel of the node that has this address."""
        return next((session for session in self._by_node.values() if session.address == address), None)

    async def serve(self, session: Session) -> None:
        """Work on a tunnel until it ends."""
        older = self._by_node.get(session.node)
        self._by_node[session.node] = session
        try:
            if older is not None:
                await older.close("a newer one of the node took its place")
            log.info("node %s has a tunnel", session.node)
            for listener in self.connected:
                listener(session.node)
            why = await session.serve()
            log.info("the tunnel of node %s is gone: %s", session.node, why)
        finally:
            if self._by_node.get(session.node) is session:
                del self._by_node[session.node]

    def end_revoked(self, revoked: Callable[[Peer], str | None]) -> None:
        """End those whose certificate is good no more."""
        for session in list(self._by_node.values()):
            if why := revoked(session.peer):
                session.end(why)

    def counts(self) -> tuple[int, int]:
        """Tunnels, and connections in all of them."""
        return len(self._by_node), sum(len(session.streams) for session in self._by_node.values())
