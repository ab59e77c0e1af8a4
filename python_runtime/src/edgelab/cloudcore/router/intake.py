"""Bodies of requests: read whole, within bounds of one, of all together, and of time."""

from __future__ import annotations

import asyncio

from aiohttp import HttpVersion11, hdrs, web

from edgelab.cloudcore.router.errors import Undeliverable

LARGEST = 12 << 20
"""Bytes of one body; the original's limit."""
LARGEST_OF_ALL = 192 << 20
"""Bytes of all bodies that are being read or sent on."""
READ_SECONDS = 30.0
"""That a client may take to send its body."""
UNKNOWN = 256 << 10
"""Bytes reserved at a time for a body of unknown length."""


class Budget:
    """Bytes that all requests may take together."""

    def __init__(self, most: int = LARGEST_OF_ALL) -> None:
        self._most = most
        self.used = 0

    def take(self, size: int) -> None:
        """Raises Undeliverable when there is no room."""
        if self.used + size > self._most:
            raise Undeliverable(503, "the router has too much to do", retry_after=1)
        self.used += size

    def give(self, size: int) -> None:
        """Give back."""
        self.used -= size


class Reservation:
    """What one request has taken from the budget; a context manager that gives it back."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._size = 0

    def __enter__(self) -> Reservation:
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.give(self._size)
        self._size = 0

    def grow(self, size: int) -> None:
        """Have `size` bytes at least. Raises Undeliverable."""
        if size > self._size:
            self._budget.take(size - self._size)
            self._size = size


def too_large(most: int = LARGEST) -> Undeliverable:
    """The answer to a body above the limit."""
    return Undeliverable(413, f"http: request body too large: more than {most} bytes")


async def read(request: web.BaseRequest, reserved: Reservation, most: int = LARGEST) -> bytes:
    """The whole body, of `most` bytes. Raises Undeliverable: 413, 408, 503."""
    announced = request.content_length
    if announced is not None and announced > most:
        raise too_large(most)
    reserved.grow(announced or 0)
    await _go_on(request)
    body = bytearray()
    try:
        async with asyncio.timeout(READ_SECONDS):
            async for chunk in request.content.iter_any():
                if len(body) + len(chunk) > most:
                    raise too_large(most)
                body += chunk
                if announced is None:
                    reserved.grow(min(most, len(body) + UNKNOWN))
    except TimeoutError:
        raise Undeliverable(408, f"the body was not sent within {READ_SECONDS:.0f} s") from None
    return bytes(body)


async def _go_on(request: web.BaseRequest) -> None:
    """Tell a client that waits for it that its body is wanted."""
    if request.version < HttpVersion11 or request.headers.get(hdrs.EXPECT, "").lower() != "100-continue":
        return
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer itself has not begun
