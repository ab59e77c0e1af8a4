"""Messages on one stream of bytes (our QUIC): how they are cut, and how far a sender may run ahead.

Before each message stand four bytes, big-endian: its length. With the highest bit set they are a receipt
and no message follows: the other 31 bits say how many bytes the reader has taken since its last receipt,
messages with their lengths. Who sends pauses while more than `AHEAD` bytes have no receipt, and a reader
gives one for each half of that; so neither end stores more than `AHEAD` and one message.
"""

from __future__ import annotations

import struct
from collections import deque

AHEAD = 1 << 20
LARGEST = (1 << 31) - 1
_RECEIPT = 1 << 31
_LENGTH = struct.Struct(">I")


class StreamError(ValueError):
    """The other end broke these rules; `str()` says how."""


class TooLarge(StreamError):
    """The other end announced a message of more than the limit."""


class MessageStream:
    """One end of a stream."""

    def __init__(self, limit: int = LARGEST) -> None:
        self.limit = limit
        """The largest message that is taken, in bytes. May be changed between messages."""
        self._partial = bytearray()
        self._ready: deque[bytes] = deque()
        self._unread = 0
        self._taken = 0
        self._ahead = 0

    @property
    def may_send(self) -> bool:
        """Whether the other end has room for a message, whatever its length."""
        return self._ahead <= AHEAD

    def frame(self, message: bytes) -> bytes:
        """The bytes to send for a message. Raises StreamError for one that no length can say."""
        if len(message) > LARGEST:
            raise TooLarge(f"a message of {len(message)} bytes is more than {LARGEST}")
        self._ahead += _LENGTH.size + len(message)
        return _LENGTH.pack(len(message)) + message

    def feed(self, data: bytes) -> None:
        """Take in what came. Raises StreamError; then the stream is of no more use."""
        self._partial += data
        while len(self._partial) >= _LENGTH.size and self._next():
            pass
        if self._unread + len(self._partial) > AHEAD + _LENGTH.size + self.limit:
            raise StreamError(f"more than {AHEAD} bytes were sent without a receipt")

    def take(self) -> bytes | None:
        """The next whole message, if there is one."""
        if not self._ready:
            return None
        message = self._ready.popleft()
        self._unread -= _LENGTH.size + len(message)
        self._taken += _LENGTH.size + len(message)
        return message

    def receipt(self) -> bytes:
        """What to send for the messages that were taken; nothing while they are few."""
        if self._taken < AHEAD // 2:
            return b""
        taken, self._taken = min(self._taken, LARGEST), 0
        return _LENGTH.pack(_RECEIPT | taken)

    def _next(self) -> bool:
        """Cut off one message or receipt; whether there was one."""
        (length,) = _LENGTH.unpack_from(self._partial)
        if length & _RECEIPT:
            del self._partial[: _LENGTH.size]
            self._received(length & LARGEST)
            return True
        if length > self.limit:
            raise TooLarge(f"a message of {length} bytes is more than {self.limit}")
        end = _LENGTH.size + length
        if len(self._partial) < end:
            return False
        self._ready.append(bytes(self._partial[_LENGTH.size : end]))
        self._unread += end
        del self._partial[:end]
        return True

    def _received(self, size: int) -> None:
        if size > self._ahead:
            raise StreamError(f"a receipt for {size} bytes, where {self._ahead} are under way")
        self._ahead -= size
