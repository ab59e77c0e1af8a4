"""One watch of a client: what is stored, then every change, as lines of JSON."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

import msgspec

from edgelab.daemon.clock import Clock
from edgelab.edgecore.metamanager import objects
from edgelab.edgecore.metamanager.changes import ADDED, DELETED, MODIFIED, Change, Expired
from edgelab.edgecore.metamanager.metaserver.scopes import Scope
from edgelab.edgecore.metamanager.mirror import Mirror
from edgelab.objects.status import ApiError

QUEUE = 1024
"""Changes that may wait for a client; one that is slower has to list again."""
BOOKMARK_SECONDS = 60.0
LIFETIME = (1800, 3600)
"""Seconds after which a watch ends when its client names no time, as at kube-apiserver."""
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the client asked for; no `version` means from what is there now. `seconds` 0: no limit named."""

    version: int | None = None
    bookmarks: bool = False
    initial_end: bool = False
    seconds: int = 0


class Watch:
    """Makes the events of one scope for one client."""

    def __init__(self, mirror: Mirror, scope: Scope, wish: Wish, clock: Clock) -> None:
        self._mirror = mirror
        self._scope = scope
        self._wish = wish
        self._clock = clock
        self._prefix = objects.prefix(scope.key)
        self._shown: dict[str, int] = {}
        self._queue: asyncio.Queue[Change | ApiError] = asyncio.Queue(QUEUE)
        self._overflown = False

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Lines until the time is over, the client is too slow or CloudCore refuses."""
        forget = self._mirror.listen(self._take)
        self._scope.refusals.add(self._queue)
        try:
            for line in self._begin():
                yield line
            async for line in self._follow():
                yield line
        except Expired as error:
            yield failure(ApiError(410, str(error)))
        finally:
            self._scope.refusals.discard(self._queue)
            forget()

    def _begin(self) -> list[bytes]:
        """What the client has to be told first. Raises Expired."""
        lines: list[bytes] = []
        if self._wish.version is not None:
            for change in self._mirror.log.since(self._wish.version):
                if change.key and self._inside(change.key):
                    lines += self._missed(change)
        for key, version, data in self._mirror.read(self._scope.key):
            if self._inside(key) and self._selects(data):
                self._shown[key] = version
                if self._wish.version is None:
                    lines.append(event(ADDED, data))
        if self._wish.initial_end:
            lines.append(self._bookmark({INITIAL_EVENTS_END: "true"}))
        return lines

    def _missed(self, change: Change) -> list[bytes]:
        if change.type == DELETED or self._selects(change.data):
            return [event(change.type, change.data)]
        return [event(DELETED, change.data)] if change.type == MODIFIED else []

    async def _follow(self) -> AsyncGenerator[bytes, None]:
        lifetime = self._wish.seconds or random.randint(*LIFETIME)  # noqa: S311 - spread, not secrecy
        end = self._clock.monotonic() + lifetime
        bookmark = self._clock.monotonic() + BOOKMARK_SECONDS
        while (now := self._clock.monotonic()) < end:
            if self._overflown:
                raise Expired("the client does not read fast enough")
            if self._wish.bookmarks and now >= bookmark and self._queue.empty():
                bookmark = now + BOOKMARK_SECONDS
                yield self._bookmark({})
            try:
                async with asyncio.timeout(min(end, bookmark) - now if bookmark > now else end - now):
                    found = await self._queue.get()
            except TimeoutError:
                continue
            if isinstance(found, ApiError):
                yield failure(found)
                return
            if (line := self._change(found)) is not None:
                yield line

    def _take(self, change: Change) -> None:
        if not change.key.startswith(self._prefix) or not self._inside(change.key):
            return
        try:
            self._queue.put_nowait(change)
        except asyncio.QueueFull:
            self._overflown = True

    def _change(self, change: Change) -> bytes | None:
        """The event of a change, as the client sees it who sees only what it selects."""
        shown = self._shown.get(change.key)
        if change.type == DELETED:
            return event(DELETED, change.data) if self._shown.pop(change.key, None) is not None else None
        if shown is not None and 0 < change.version <= shown:
            return None  # the first list had it
        if not self._selects(change.data):
            return event(DELETED, change.data) if self._shown.pop(change.key, None) is not None else None
        self._shown[change.key] = change.version
        return event(ADDED if shown is None else MODIFIED, change.data)

    def _inside(self, key: str) -> bool:
        name = self._scope.key.name
        return not name or key.endswith(f"/{name}")

    def _selects(self, data: bytes) -> bool:
        selection = self._scope.selection
        return selection.everything or selection.matches(msgspec.json.decode(data))

    def _bookmark(self, annotations: dict[str, str]) -> bytes:
        metadata: dict[str, Any] = {"resourceVersion": str(self._mirror.log.revision)}
        if annotations:
            metadata["annotations"] = annotations
        key = self._scope.key
        obj = {
            "kind": self._mirror.kinds.kind(key.resource),
            "apiVersion": key.api_version,
            "metadata": {"creationTimestamp": None, **metadata},
        }
        return event("BOOKMARK", msgspec.json.encode(obj))


def event(kind: str, data: bytes) -> bytes:
    """One line of a watch."""
    return b'{"type":"%s","object":%s}\n' % (kind.encode(), data)


def failure(error: ApiError) -> bytes:
    """The line that ends a watch."""
    return event("ERROR", msgspec.json.encode(error.status()))
