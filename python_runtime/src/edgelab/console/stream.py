"""`/api/events`: the board, and what changes on it, as server-sent events.

A client that takes nothing for `STALLED_SECONDS` is dropped; its page connects again by itself and begins
with the whole board. What is on its way to one client is one message at most, and what the kernel buffers.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import web

from edgelab.console.feed import Client, Feed, Full, event
from edgelab.daemon.clock import SYSTEM, Clock

GATHER_SECONDS = 0.2
"""What changes within so long goes out together."""
PING_SECONDS = 10.0
STALLED_SECONDS = 15.0
SLICE = 32 << 10
HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Stream:
    """Answers each page with a stream of its own."""

    def __init__(self, feed: Feed, clock: Clock = SYSTEM, stalled_seconds: float = STALLED_SECONDS) -> None:
        self._feed = feed
        self._clock = clock
        self._stalled = stalled_seconds

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Send until the client is gone or stalls; 503 when there are too many."""
        try:
            with self._feed.subscribed() as client:
                response = web.StreamResponse(headers=HEADERS)
                await response.prepare(request)
                with suppress(ConnectionError):
                    await self._send(response, client)
                if request.transport is not None:
                    request.transport.abort()
                return response
        except Full:
            text = "As many pages are open as maxClients allows; close one, or raise console_max_clients.\n"
            return web.Response(status=503, text=text, headers={"Retry-After": "10"})

    async def _send(self, response: web.StreamResponse, client: Client) -> None:
        try:
            while True:
                message = client.take() or event("time", int(self._clock.now().timestamp() * 1000))
                for start in range(0, len(message), SLICE):
                    async with asyncio.timeout(self._stalled):
                        await response.write(message[start : start + SLICE])
                await self._clock.sleep(GATHER_SECONDS)
                with suppress(TimeoutError):
                    async with asyncio.timeout(PING_SECONDS):
                        await client.wait()
        except TimeoutError:
            return
