"""Send lines to a time-series database over HTTP.

Receives: lines, at any rate. Sends: batches. Stores: at most `limit` lines in memory; when the
database is away for longer than that lasts, the oldest lines go first, and are counted.
A batch that the database refuses (4xx) would be refused again: it is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass

import aiohttp

from edgelab.daemon import backoff
from edgelab.daemon.clock import SYSTEM, Clock

log = logging.getLogger("edgelab.twinexporter")

BATCH = 5000
FLUSH_SECONDS = 0.2
REQUEST_SECONDS = 10.0
FIRST_DELAY, LONGEST_DELAY = 0.2, 10.0
REFUSED = range(400, 500)
TRY_AGAIN = {408, 425, 429}


@dataclass(slots=True)
class Written:
    """What became of lines."""

    lines: int = 0
    batches: int = 0
    failures: int = 0
    dropped: int = 0
    refused: int = 0


class Writer:
    """A module: `run` it, and `put` lines."""

    name = "writer"

    def __init__(self, url: str, *, limit: int = 100_000, clock: Clock = SYSTEM) -> None:
        self.url = url
        self.written = Written()
        self.trouble = ""
        """Why the last attempt failed; empty when it did not."""
        self._limit = limit
        self._clock = clock
        self._queue: deque[str] = deque()
        self._filled = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Lines in memory."""
        return len(self._queue)

    def put(self, line: str) -> None:
        """Take a line; the oldest one makes room when there is none."""
        if len(self._queue) >= self._limit:
            self._queue.popleft()
            self.written.dropped += 1
        self._queue.append(line)
        self._filled.set()

    async def run(self) -> None:
        """Send what comes, until cancelled; what is left then is sent in one last attempt."""
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            try:
                while True:
                    await self._filled.wait()
                    await self._clock.sleep(FLUSH_SECONDS)
                    await self._drain(session)
            finally:
                if self._queue:
                    await self._send(session, self._take())

    async def _drain(self, session: aiohttp.ClientSession) -> None:
        delays = backoff.delays(FIRST_DELAY, LONGEST_DELAY)
        while self._queue:
            batch = self._take()
            if await self._send(session, batch):
                continue
            self._give_back(batch)
            await self._clock.sleep(next(delays))
        self._filled.clear()

    def _take(self) -> list[str]:
        return [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]

    def _give_back(self, batch: list[str]) -> None:
        """Lines keep their order; those for which there is no room any more are dropped, oldest first."""
        room = self._limit - len(self._queue)
        self.written.dropped += max(0, len(batch) - room)
        kept = batch[len(batch) - room :] if room < len(batch) else batch
        self._queue.extendleft(reversed(kept))

    async def _send(self, session: aiohttp.ClientSession, batch: list[str]) -> bool:
        """Whether the batch is done with: written, or refused for good."""
        body = ("\n".join(batch) + "\n").encode()
        try:
            async with session.post(self.url, data=body) as response:
                status, text = response.status, await response.text()
        except (aiohttp.ClientError, TimeoutError) as error:
            self._failed(str(error) or type(error).__name__)
            return False
        if status < 300:
            self._succeeded(len(batch))
            return True
        self._failed(f"{status} {text[:200].strip()}")
        if status in REFUSED and status not in TRY_AGAIN:
            self.written.refused += len(batch)
            return True
        return False

    def _succeeded(self, lines: int) -> None:
        if self.trouble:
            log.info("%s takes samples again", self.url)
        self.trouble = ""
        self.written.lines += lines
        self.written.batches += 1

    def _failed(self, why: str) -> None:
        self.written.failures += 1
        if not self.trouble:
            log.warning("%s takes no samples: %s", self.url, why)
        self.trouble = why
