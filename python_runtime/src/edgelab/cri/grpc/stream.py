"""The answer to one unary call as it arrives (gRPC over HTTP/2, `PROTOCOL-HTTP2.md`)."""

from __future__ import annotations

import asyncio

from edgelab.cri.grpc.frames import Code

PREFIX = 5
"""One octet that says whether a message is compressed, four of its length."""


class StreamReset(Exception):
    """The other side gave one call up."""

    def __init__(self, code: int) -> None:
        names = {known.value: known.name for known in Code}
        super().__init__(f"the call was reset by the other side: {names.get(code, f'error {code}')}")


class TooMuch(Exception):
    """An answer has more octets than its caller takes."""


class Stream:
    """One call. `window`: octets that may still be sent; `ended` is done with the stream itself."""

    def __init__(self, window: int, most: int) -> None:
        self.window = window
        self.headers: dict[bytes, bytes] = {}
        self.ended: asyncio.Future[Stream] = asyncio.get_running_loop().create_future()
        self._most = most
        self._data = bytearray()
        self._unreported = 0

    def add(self, data: bytes) -> None:
        """Take a part of the answer."""
        if len(self._data) + len(data) > self._most + PREFIX:
            self.fail(TooMuch(f"the answer has more than {self._most} octets"))
        elif not self.ended.done():
            self._data += data

    def consumed(self, octets: int, threshold: int) -> int:
        """How much the peer's window is to be opened again; 0 while that is too little to tell."""
        self._unreported += octets
        if self._unreported < threshold:
            return 0
        grant, self._unreported = self._unreported, 0
        return grant

    def finish(self) -> None:
        """The answer is complete."""
        if not self.ended.done():
            self.ended.set_result(self)

    def reset(self, code: int) -> None:
        """The other side gave it up: after the whole answer that only means that it reads no more."""
        self.fail(StreamReset(code))

    def fail(self, error: Exception) -> None:
        """The answer will not come."""
        if not self.ended.done():
            self.ended.set_exception(error)

    def message(self) -> bytes | None:
        """The one message of the answer; None when it is none, or compressed."""
        data = self._data
        if len(data) < PREFIX or data[0] or len(data) != PREFIX + int.from_bytes(data[1:PREFIX]):
            return None
        return bytes(data[PREFIX:])
