"""Curves of what a device reported, out of VictoriaMetrics.

The browser names a device and a range; the query is made here, so no page can ask the database anything else.
An answer is kept for `FRESH_SECONDS`: any number of pages cost the database one query a device and range. At
most `MOST_QUERIES` run at a time and `MOST_KEPT` answers are kept, the oldest go first.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any, TypeAlias

import aiohttp
import msgspec

from edgelab.console.queries import Query, Window, window_of
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.errors import Unreachable

REQUEST_SECONDS = 5.0
LOOK_SECONDS = 5.0
FRESH_SECONDS = 1.5
MOST_QUERIES = 4
MOST_KEPT = 128
MOST_BYTES = 4 << 20
Asked: TypeAlias = tuple[str, str, int]


class Series:
    """A module: `run` it to know whether the database answers; `curves` asks it."""

    name = "series"

    def __init__(self, url: str, clock: Clock = SYSTEM) -> None:
        self._url = url.rstrip("/")
        self._clock = clock
        self._slots = asyncio.Semaphore(MOST_QUERIES)
        self._kept: OrderedDict[Asked, tuple[float, Window]] = OrderedDict()
        self._session: aiohttp.ClientSession | None = None
        self.trouble = "not asked yet" if url else ""
        """Why the database does not answer; empty while it does, or where there is none."""

    @property
    def used(self) -> bool:
        """Whether there is a database."""
        return bool(self._url)

    async def run(self) -> None:
        """Ask the database how it is, until cancelled."""
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        async with aiohttp.ClientSession(
            timeout=timeout, headers={"User-Agent": "edgelab-console"}
        ) as session:
            self._session = session
            while True:
                if self.used:
                    await self._look()
                await self._clock.sleep(LOOK_SECONDS)

    async def curves(self, namespace: str, device: str, seconds: int) -> Window:
        """All properties of a device over the last `seconds`. Raises Unreachable."""
        if not self.used:
            return Window(0, {})
        asked = (namespace, device, seconds)
        if (fresh := self._fresh(asked)) is not None:
            return fresh
        async with self._slots:
            # Another page may have asked the same while this one waited.
            if (fresh := self._fresh(asked)) is not None:
                return fresh
            query = Query(namespace, device, seconds, self._clock.now().timestamp())
            found = window_of(query, await self._get("/api/v1/query_range", query.parameters()))
            self._keep(asked, found)
            return found

    def _fresh(self, asked: Asked) -> Window | None:
        at, found = self._kept.get(asked, (0.0, None))
        return found if self._clock.monotonic() - at < FRESH_SECONDS else None

    def _keep(self, asked: Asked, found: Window) -> None:
        self._kept[asked] = (self._clock.monotonic(), found)
        self._kept.move_to_end(asked)
        if len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)

    async def _look(self) -> None:
        try:
            await self._get("/api/v1/query", {"query": "1"})
        except Unreachable as error:
            self.trouble = str(error)
        else:
            self.trouble = ""

    async def _get(self, path: str, parameters: dict[str, str]) -> Any:
        if self._session is None:
            raise Unreachable("the database was not asked yet")
        try:
            async with self._session.get(
                self._url + path, params=parameters, allow_redirects=False
            ) as answer:
                body = await _read(answer.content)
                if answer.status != 200:
                    raise Unreachable(f"{self._url} answered {answer.status}")
                return msgspec.json.decode(body)
        except TimeoutError:
            raise Unreachable(f"{self._url}: no answer within {REQUEST_SECONDS:.0f} s") from None
        except aiohttp.ClientError as error:
            raise Unreachable(f"{self._url}: {error or type(error).__name__}") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Unreachable(f"{self._url} answered with no JSON; is it VictoriaMetrics?") from None


async def _read(content: aiohttp.StreamReader) -> bytes:
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > MOST_BYTES:
            raise aiohttp.ClientPayloadError(f"the answer is longer than {MOST_BYTES} bytes")
    return bytes(body)
