"""Ports of a pod for one client: pairs of streams, one for data and one for what went wrong (`portforward`).

By SPDY a client opens a pair for each connection; by WebSocket each port that it named has two channels.
What the pod does not take waits, `WAITING` bytes a connection; then the client is held up for
`PATIENCE` seconds, and then that connection ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from edgelab.cri.errors import CriError, RuntimeUnreachable
from edgelab.daemon.flow import Ended, Inbox, Overrun
from edgelab.daemon.halves import Outgoing
from edgelab.edgecore.edged.streams.serving.spdylink import SpdyLink
from edgelab.edgecore.edged.streams.serving.websocketlink import WebSocketLink
from edgelab.protocol import spdy

log = logging.getLogger(__name__)

Dial = Callable[[int], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
WAITING = 256 << 10
PATIENCE = 10.0
CHUNK = 32 << 10
MOST = 256
"""Connections of one client at a time."""


class Pair(Protocol):
    """The client's side of one connection."""

    async def send(self, data: bytes) -> None:
        """Data of the pod. Raises OSError."""
        ...

    async def end(self, problem: str) -> None:
        """There is no more; `problem` says why when something went wrong. Raises OSError."""
        ...


class Forward:
    """One connection to a port; `inbox` takes what the client sends, and its end is a half close."""

    def __init__(self, port: int, pair: Pair, dial: Dial) -> None:
        self._port = port
        self._pair = pair
        self._dial = dial
        self._writer: asyncio.StreamWriter | None = None
        self._problem = ""
        self.inbox = Inbox(WAITING)

    async def run(self) -> None:
        """Until the pod has ended it, or the client has gone (OSError)."""
        try:
            reader, self._writer = await self._dial(self._port)
        except (OSError, RuntimeUnreachable, CriError) as error:
            self._problem = getattr(error, "strerror", None) or str(error)
        else:
            await self._join(reader, self._writer)
        problem = self._problem and f"error forwarding port {self._port}: {self._problem}"
        await self._pair.end(problem)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inward = asyncio.create_task(self._inward(writer), name=f"port/{self._port}/inward")
        try:
            while data := await _read(reader):
                await self._pair.send(data)
        finally:
            inward.cancel()
            await asyncio.gather(inward, return_exceptions=True)
            writer.transport.abort()

    async def _inward(self, writer: asyncio.StreamWriter) -> None:
        with Outgoing(writer) as out:
            try:
                while True:
                    await out.send(await self.inbox.get())
            except Ended:
                out.finish()
            except OSError:  # the pod wants no more, but may have said something
                self.inbox.end()

    async def take(self, data: bytes) -> None:
        """Some data of the client."""
        try:
            await self.inbox.push(data, PATIENCE)
        except Overrun:
            self.end("the pod does not take what is sent")

    def end(self, problem: str) -> None:
        """It is over, whatever the pod says."""
        self._problem = self._problem or problem
        self.inbox.end(problem)
        if self._writer is not None:
            self._writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(CHUNK)
    except OSError:  # a reset is an end, as for the original
        return b""


class _SpdyPair:
    def __init__(self, link: SpdyLink, data: int, error: int) -> None:
        self._link = link
        self._data = data
        self._error = error

    async def send(self, data: bytes) -> None:
        await self._link.send(self._data, data)

    async def end(self, problem: str) -> None:
        await self._link.send(self._error, problem.encode(), final=True)
        await self._link.send(self._data, b"", final=True)


class Paired:
    """A SPDY connection: a pair of streams carries the same `requestid`, the data's `port` is the port."""

    def __init__(self, link: SpdyLink, dial: Dial) -> None:
        self._link = link
        self._dial = dial
        self._halves: dict[str, dict[str, int]] = {}
        self._forwards: dict[int, Forward] = {}

    async def run(self) -> None:
        """Until the client goes. Raises OSError, ProtocolError."""
        async with asyncio.TaskGroup() as group:
            async for frame in self._link.frames():
                if frame.kind == spdy.SYN_STREAM:
                    await self._open(frame, group)
                elif (forward := self._forwards.get(frame.number)) is not None:
                    await self._take(forward, frame)
            raise ConnectionResetError("the client has gone")

    async def _open(self, frame: spdy.Frame, group: asyncio.TaskGroup) -> None:
        headers = dict(frame.headers)
        kind, request, port = (headers.get(name, "") for name in ("streamtype", "requestid", "port"))
        known = self._halves.setdefault(request or str(frame.number // 4), {})
        if kind not in ("data", "error") or kind in known or not _is_port(port):
            raise spdy.ProtocolError(f"a stream of type {kind!r} for port {port!r} was not expected")
        if len(self._halves) + len(self._forwards) > MOST:
            raise spdy.ProtocolError(f"more than {MOST} connections at a time")
        await self._link.accept(frame.number)
        known[kind] = frame.number
        if len(known) < 2:
            return
        self._halves = {key: halves for key, halves in self._halves.items() if halves is not known}
        forward = Forward(int(port), _SpdyPair(self._link, known["data"], known["error"]), self._dial)
        self._forwards[known["data"]] = forward
        group.create_task(self._work(known["data"], forward), name=f"port/{port}")

    async def _work(self, number: int, forward: Forward) -> None:
        try:
            await forward.run()
        finally:
            del self._forwards[number]

    @staticmethod
    async def _take(forward: Forward, frame: spdy.Frame) -> None:
        if frame.kind == spdy.RST_STREAM:
            forward.end("the client has reset it")
        elif frame.kind == 0:
            await forward.take(frame.data)
            if frame.final:
                forward.inbox.end()


class _Channel:
    def __init__(self, link: WebSocketLink, position: int) -> None:
        self._link = link
        self._data, self._error = 2 * position, 2 * position + 1

    async def begin(self, port: int) -> None:
        for channel in (self._data, self._error):
            await self._link.send(channel, port.to_bytes(2, "little"))

    async def send(self, data: bytes) -> None:
        await self._link.send(self._data, data)

    async def end(self, problem: str) -> None:
        if problem:
            await self._link.send(self._error, problem.encode())


async def numbered(link: WebSocketLink, ports: Sequence[int], dial: Dial) -> None:
    """A WebSocket: the data of the port at position N has channel 2N, its errors 2N + 1.

    Ends when all connections have, or the client goes. Raises OSError.
    """
    forwards = []
    for position, port in enumerate(ports):
        channel = _Channel(link, position)
        await channel.begin(port)
        forwards.append(Forward(port, channel, dial))

    async def inward() -> None:
        async for channel, data in link.messages():
            if channel % 2 == 0 and channel // 2 < len(forwards):
                await forwards[channel // 2].take(data)
        raise ConnectionResetError("the client has gone")

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(inward(), name="client")
        running = [
            group.create_task(each.run(), name=f"port/{position}") for position, each in enumerate(forwards)
        ]
        await asyncio.wait(running)
        reading.cancel()
    await link.close()


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 0 < int(text) < 1 << 16
