"""One connection inside the tunnel: a request to edged, and its answer on the way back."""

from __future__ import annotations

import asyncio
import contextlib
import http
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import msgspec

from edgelab.daemon.flow import Allowance, Ended, Inbox
from edgelab.edgecore.kubelet import Kubelet, Pipe, Refused, Request
from edgelab.protocol.tunnel import CHUNK, DATA_LIMIT, WINDOW, Connect, Head, Kind, uvarint

log = logging.getLogger(__name__)

Send = Callable[[int, int, bytes], Awaitable[None]]
"""Sends a frame: connection, kind, data. Raises Disconnected."""


class Relay:
    """`inbox` takes what the cloud sends, `room` says how much may be sent to it; both end when it is over.

    `extended`: the cloud is ours, so it wants a HEAD and gives CREDIT.
    """

    def __init__(self, kind: int, connect: Connect, kubelet: Kubelet, send: Send, *, extended: bool) -> None:
        self._kind = kind
        self._connection = connect.MessID
        self._request = Request(
            connect.method or "GET", connect.url.Path, connect.url.RawQuery, connect.header or {}
        )
        self._kubelet = kubelet
        self._emit = send
        self._extended = extended
        self.inbox = Inbox(WINDOW if extended else DATA_LIMIT)
        self.room = Allowance(WINDOW if extended else None)
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Work until either side ends. Raises Disconnected."""
        with contextlib.suppress(Ended):
            if self._kind in (Kind.LOGS, Kind.METRICS):
                await self._get()
            else:
                await self._join()
        await self._emit(self._connection, Kind.REMOVE, b"")

    def end(self) -> None:
        """The cloud wants no more of it."""
        self._ended.set()
        self.inbox.end("the cloud ended it")
        self.room.end("the cloud ended it")

    # logs and pages

    async def _until_one_ends(self, *work: Coroutine[Any, Any, None]) -> None:
        """Do all of it until some of it is done, or the cloud wants no more."""
        tasks = [asyncio.ensure_future(part) for part in (*work, self._end_told())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _end_told(self) -> None:
        await self._ended.wait()

    async def _get(self) -> None:
        await self._until_one_ends(self._answer())

    async def _answer(self) -> None:
        try:
            answer = await self._kubelet.get(self._request)
        except Refused as refused:
            await self._head(refused.status, "text/plain; charset=utf-8")
            await self._send(f"{refused}\n".encode())
            return
        try:
            await self._head(200, answer.content_type)
            async for chunk in answer.body:
                await self._send(chunk)
        except OSError as error:
            log.warning("%s: %s", self._request.path, error)
        finally:
            await answer.body.aclose()

    async def _head(self, status: int, content_type: str) -> None:
        if self._extended:
            await self._emit(self._connection, Kind.HEAD, msgspec.json.encode(Head(status, content_type)))

    # commands and ports

    async def _join(self) -> None:
        try:
            pipe = await self._kubelet.connect(self._request)
        except Refused as refused:
            await self._send(_refusal(refused))
            return
        try:
            await self._until_one_ends(self._up(pipe), self._down(pipe))
        finally:
            pipe.writer.transport.abort()

    async def _up(self, pipe: Pipe) -> None:
        with contextlib.suppress(OSError):
            while data := await pipe.reader.read(CHUNK):
                await self._send(data)

    async def _down(self, pipe: Pipe) -> None:
        owed = 0
        with contextlib.suppress(Ended, OSError):
            while True:
                data = await self.inbox.get()
                pipe.writer.write(data)
                await pipe.writer.drain()
                owed += len(data)
                if self._extended and owed >= WINDOW // 2:
                    await self._emit(self._connection, Kind.CREDIT, uvarint(owed))
                    owed = 0

    async def _send(self, data: bytes) -> None:
        """Send data in frames, each when there is room for it. Raises Ended, Disconnected."""
        start = 0
        while start < len(data):
            size = await self.room.take(min(CHUNK, len(data) - start))
            await self._emit(self._connection, Kind.DATA, data[start : start + size])
            start += size


def _refusal(refused: Refused) -> bytes:
    """A whole answer: on these connections the cloud passes on what it gets."""
    body = f"{refused}\n".encode()
    head = (
        f"HTTP/1.1 {refused.status} {http.HTTPStatus(refused.status).phrase}\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
