"""One HTTP/1.1 connection (RFC 9112) for requests whose whole answer is wanted, one after the other.

Small on purpose: CloudCore makes hundreds of small requests a second, and a general client costs several
times what the server's answer does. No redirects, no compression, no cookies: API servers need none.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple, cast

HEAD_LIMIT = 64 << 10
"""Bytes of the head of an answer, of a line in a chunked one and of what comes after its chunks."""
NO_BODY = frozenset({204, 304})


class Malformed(Exception):
    """The other side does not speak HTTP/1.1."""


class Dropped(ConnectionError):
    """The connection ended before the answer did. `untouched`: nothing of an answer had come."""

    def __init__(self, *, untouched: bool) -> None:
        super().__init__("the server closed the connection")
        self.untouched = untouched


class Answer(NamedTuple):
    """The status and the whole body."""

    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """Made by `create_connection`; the asyncio transport does TLS."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.reusable = True
        """Whether another request may follow."""
        self.uses = 0
        """Requests that were sent."""
        self.lost: asyncio.Future[None] = loop.create_future()
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._buffer = bytearray()
        self._begin()

    def _begin(self) -> None:
        self._status = 0
        self._length = -1
        """Bytes of the body, or of the present chunk, that are still to come; -1 before they are known."""
        self._is_chunked = self._until_close = self._is_trailing = False
        self._parts: list[bytes] = []

    async def exchange(self, request: bytes) -> Answer:
        """Send a request and take its answer. Raises Dropped, Malformed.

        Cancelled, it closes the connection: the rest of the answer is nobody's.
        """
        if self._transport is None or self.lost.done():
            raise Dropped(untouched=True)
        self.uses += 1
        self._waiter = self._loop.create_future()
        self._transport.write(request)
        try:
            return await self._waiter
        except BaseException:
            self.abort()
            raise
        finally:
            self._waiter = None
            self._begin()

    def abort(self) -> None:
        """Hang up."""
        self.reusable = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of the answer; without a request there must be none."""
        self._buffer += data
        if self._waiter is None or self._waiter.done():
            self.abort()
            return
        try:
            while self._step():
                pass
        except Malformed as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; some answers end with it."""
        self.reusable = False
        self.lost.set_result(None)
        if self._until_close:
            self._parts.append(bytes(self._buffer))
            self._finish()
        else:
            self._fail(exc if isinstance(exc, OSError) else Dropped(untouched=not self._status))

    def _fail(self, error: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    def _finish(self) -> bool:
        self.reusable = self.reusable and not self._buffer  # what nobody asked for is no answer to the next
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(Answer(self._status, b"".join(self._parts)))
        return False

    def _step(self) -> bool:
        """Take one piece out of the buffer; whether another one may follow."""
        if not self._status:
            return self._read_head()
        if self._until_close:
            return False
        if self._is_chunked:
            return self._read_chunk()
        if len(self._buffer) < self._length:
            return False
        self._parts.append(self._cut(self._length))
        return self._finish()

    def _read_head(self) -> bool:
        head = self._until(b"\r\n\r\n")
        if head is None:
            return False
        first, *lines = head.split(b"\r\n")
        try:
            version, status = first.split(b" ", 2)[:2]
            code = int(status)
        except ValueError:
            raise Malformed(f"the answer begins with {bytes(first[:40])!r}") from None
        if 100 <= code < 200:
            return True  # the answer proper follows
        self._status = code
        self.reusable = version == b"HTTP/1.1"
        length = b""
        for line in lines:
            name, _, value = line.partition(b":")
            match name.lower():
                case b"content-length":
                    length = value.strip()
                case b"transfer-encoding":
                    self._is_chunked = value.strip().lower() == b"chunked"
                    self._until_close = not self._is_chunked
                case b"connection" if b"close" in value.lower():
                    self.reusable = False
        self._expect(length)
        return True

    def _expect(self, length: bytes) -> None:
        """How the body ends (RFC 9112, 6.3)."""
        if self._status in NO_BODY:
            self._length, self._is_chunked, self._until_close = 0, False, False
        elif length.isdigit():
            self._length = int(length)
        elif length:
            raise Malformed(f"Content-Length is {bytes(length[:40])!r}")
        elif not self._is_chunked:
            self._until_close = True
        self.reusable = self.reusable and not self._until_close

    def _read_chunk(self) -> bool:
        if self._length < 0 or self._is_trailing:
            return self._read_size()
        if len(self._buffer) < self._length + 2:
            return False
        self._parts.append(self._cut(self._length))
        if self._cut(2) != b"\r\n":
            raise Malformed("a chunk does not end where it says")
        self._length = -1
        return True

    def _read_size(self) -> bool:
        """The line before a chunk, or one after the last."""
        line = self._until(b"\r\n")
        if line is None:
            return False
        if self._is_trailing:
            return bool(line) or self._finish()
        try:
            self._length = int(line.partition(b";")[0], 16)
        except ValueError:
            raise Malformed(f"a chunk begins with {bytes(line[:40])!r}") from None
        if self._length < 0:
            raise Malformed("a chunk is of negative length")
        self._is_trailing = self._length == 0
        return True

    def _until(self, end: bytes) -> bytes | None:
        """What comes before `end`, which is dropped; None while it has not come."""
        at = self._buffer.find(end, 0, HEAD_LIMIT)
        if at >= 0:
            found = self._cut(at)
            del self._buffer[: len(end)]
            return found
        if len(self._buffer) >= HEAD_LIMIT:
            raise Malformed(f"a head or line of more than {HEAD_LIMIT} bytes")
        return None

    def _cut(self, length: int) -> bytes:
        with memoryview(self._buffer) as view:
            piece = bytes(view[:length])
        del self._buffer[:length]
        return piece
