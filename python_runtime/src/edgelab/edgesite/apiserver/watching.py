"""Watches over HTTP: lines of changes, bookmarks, the end after timeoutSeconds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.accept import Wanted
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.listoptions import ListOptions
from edgelab.edgesite.apiserver.presenting import Lines, Presenter
from edgelab.edgesite.apiserver.reads import INITIAL_END, Change, Filter, Reader, bookmark, revision_of
from edgelab.objects.status import ApiError

BOOKMARK_SECONDS = 60.0
LAST_BOOKMARK_SECONDS = 2.0  # before the end of a watch, so that the client can go on from there
DEFAULT_SECONDS = 1800
PIECE = 256 << 10  # bytes that are handed to a connection at once
STALLED_SECONDS = 60.0  # after which a client that takes nothing is cut off; upstream ends its watch as well


class Watcher:
    """Serves watches."""

    def __init__(self, reader: Reader, presenter: Presenter) -> None:
        self._reader = reader
        self._presenter = presenter

    async def serve(
        self,
        request: web.Request,
        kind: Kind,
        namespace: str,
        where: Filter,
        *,
        options: ListOptions,
        wanted: Wanted,
    ) -> web.StreamResponse:
        """Stream changes until the time is up or the client goes."""
        if options.version:
            revision_of(options.version)  # a watch that cannot begin is refused, not begun and ended
        seconds = options.seconds or DEFAULT_SECONDS * (1 + random.random())  # noqa: S311 - spreads the ends
        pace = _Pace(seconds, bookmarks=options.bookmarks)
        batches = self._reader.watch(
            kind, namespace, where, options.version, initial=options.initial, patience=pace.patience
        )
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        lines = self._presenter.watcher(kind, wanted, request.query)
        try:
            async with aclosing(batches), asyncio.timeout(seconds):
                await self._stream(response, batches, kind, lines, pace)
        except TimeoutError:
            pass
        except ConnectionError:
            if request.transport is not None:
                request.transport.abort()  # what it did not take is not kept for it
            return response
        except ApiError as error:
            await response.write(b'{"type":"ERROR","object":' + codec.encode(error.status()) + b"}\n")
        await response.write_eof()
        return response

    async def _stream(
        self,
        response: web.StreamResponse,
        batches: AsyncGenerator[list[Change], None],
        kind: Kind,
        lines: Lines,
        pace: _Pace,
    ) -> None:
        """Write batches as they come; a bookmark from time to time."""
        async for batch in batches:
            parts = [_line(lines, kind, change, pace) for change in batch]
            if pace.due():
                parts.append(lines.bookmark(bookmark(kind, self._reader.store.revision)))
            await _send(response, parts)


async def _send(response: web.StreamResponse, lines: list[bytes]) -> None:
    """Write lines, no more at once than the client takes. Raises ConnectionResetError for one that stalls."""
    waiting: list[bytes] = []
    size = 0
    for position, line in enumerate(lines, 1):
        waiting.append(line)
        size += len(line)
        if size < PIECE and position < len(lines):
            continue
        if size:
            try:
                async with asyncio.timeout(STALLED_SECONDS):
                    await response.write(b"".join(waiting))
            except TimeoutError:
                raise ConnectionResetError("the client has not read for too long") from None
        waiting.clear()
        size = 0


def _line(lines: Lines, kind: Kind, change: Change, pace: _Pace) -> bytes:
    if change.type != INITIAL_END:
        return lines.line(change)
    if not pace.bookmarks:
        return b""
    return lines.bookmark(bookmark(kind, change.revision, initial_end=True))


def _now() -> float:
    """The time by which `asyncio.timeout` ends a watch."""
    return asyncio.get_running_loop().time()


class _Pace:
    """When the next bookmark is due: every minute or so, and shortly before the end."""

    def __init__(self, seconds: float, *, bookmarks: bool) -> None:
        self.bookmarks = bookmarks
        now = _now()
        self._last = now + seconds - LAST_BOOKMARK_SECONDS
        self._next = self._after(now)

    def _after(self, now: float) -> float:
        usual = now + BOOKMARK_SECONDS * (1 + random.random() / 4)  # noqa: S311 - spreads the load
        return min(usual, self._last) if self._last > now else usual

    def patience(self) -> float | None:
        """How long to wait for changes at most."""
        return max(0.001, self._next - _now()) if self.bookmarks else None

    def due(self) -> bool:
        """Whether a bookmark is due now; then the next one is later."""
        now = _now()
        if not self.bookmarks or now < self._next:
            return False
        self._next = self._after(now)
        return True
