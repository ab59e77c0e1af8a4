"""Frames of SPDY/3.1 as kubelets and container runtimes speak it (`github.com/moby/spdystream`).

That library sends no windows and heeds none: what holds a sender up is the connection itself.
Nothing here does any I/O.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

VERSION = 0x8003
SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY, HEADERS = 1, 2, 3, 6, 7, 8
FIN = 0x01
HEAD = 8
LARGEST_CONTROL = 1 << 20
LARGEST_HEADERS = 1 << 20
STREAM_ID = 0x7FFFFFFF

_WORDS = """options head post put delete trace accept accept-charset accept-encoding accept-language
accept-ranges age allow authorization cache-control connection content-base content-encoding
content-language content-length content-location content-md5 content-range content-type date etag expect
expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified
location max-forwards pragma proxy-authenticate proxy-authorization range referer retry-after server te
trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200_OK
version HTTP/1.1 url public set-cookie keep-alive origin"""
_CODES = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY = (
    b"".join(struct.pack(">I", len(word)) + word.replace("_", " ").encode() for word in _WORDS.split())
    + _CODES.encode()
)
"""What both sides' compression begins with (section 2.6.10.1 of the SPDY/3 draft)."""


class ProtocolError(Exception):
    """The other side does not speak SPDY/3.1."""


class Frame(NamedTuple):
    """A control frame, or with `kind` 0 a part of a data frame. `final` ends the sender's half of a stream.

    `number` is a stream's, or that of a ping.
    """

    kind: int
    number: int
    final: bool = False
    data: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Reader:
    """Makes frames of bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._stream, self._left, self._final = 0, 0, False

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that are complete now, and as much of a data frame as is there. Raises ProtocolError."""
        self._buffer += data
        while True:
            if self._left:
                if not self._buffer:
                    return
                yield self._part()
                continue
            if len(self._buffer) < HEAD:
                return
            first, second = struct.unpack_from(">II", self._buffer)
            flags, length = second >> 24, second & 0xFFFFFF
            if not first >> 31:
                del self._buffer[:HEAD]
                self._stream, self._left, self._final = first, length, bool(flags & FIN)
                if not length:
                    yield Frame(0, first, bool(flags & FIN))
                continue
            if first >> 16 != VERSION or length > LARGEST_CONTROL:
                raise ProtocolError("this is not SPDY/3.1")
            if len(self._buffer) < HEAD + length:
                return
            payload = bytes(self._buffer[HEAD : HEAD + length])
            del self._buffer[: HEAD + length]
            yield self._control(first & 0xFFFF, bool(flags & FIN), payload)

    def _part(self) -> Frame:
        data = bytes(self._buffer[: self._left])
        del self._buffer[: self._left]
        self._left -= len(data)
        return Frame(0, self._stream, self._final and not self._left, data)

    def _control(self, kind: int, final: bool, payload: bytes) -> Frame:
        try:
            number = struct.unpack_from(">I", payload)[0] if payload else 0
            if kind == PING:
                return Frame(kind, number)
            skipped = {SYN_STREAM: 10, SYN_REPLY: 4, HEADERS: 4}.get(kind)
            if skipped is None:
                return Frame(kind, number & STREAM_ID, data=payload[4:])
            return Frame(kind, number & STREAM_ID, final, headers=tuple(self._headers(payload[skipped:])))
        except (struct.error, zlib.error, UnicodeDecodeError) as error:
            raise ProtocolError(f"a frame cannot be read: {error}") from error

    def _headers(self, block: bytes) -> Iterator[tuple[str, str]]:
        data = self._inflate.decompress(block, LARGEST_HEADERS)
        count, position = struct.unpack_from(">I", data)[0], 4
        for _ in range(count):
            texts = []
            for _ in range(2):
                length = struct.unpack_from(">I", data, position)[0]
                position += 4 + length
                texts.append(data[position - length : position].decode())
            yield texts[0], texts[1]


class Writer:
    """Makes bytes of frames."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(level=9, zdict=DICTIONARY)

    def open(self, number: int, headers: dict[str, str]) -> bytes:
        """A new stream."""
        return _control(SYN_STREAM, struct.pack(">IIH", number, 0, 0) + self._block(headers))

    def reply(self, number: int, headers: dict[str, str]) -> bytes:
        """The stream is accepted."""
        return _control(SYN_REPLY, struct.pack(">I", number) + self._block(headers))

    @staticmethod
    def data(number: int, data: bytes, *, final: bool = False) -> bytes:
        """Some data of a stream, and perhaps its end."""
        return struct.pack(">II", number, (FIN if final else 0) << 24 | len(data)) + data

    @staticmethod
    def pong(number: int) -> bytes:
        """The answer to a ping is the ping."""
        return _control(PING, struct.pack(">I", number))

    def _block(self, headers: dict[str, str]) -> bytes:
        parts = [struct.pack(">I", len(headers))]
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                parts += [struct.pack(">I", len(text)), text]
        return self._deflate.compress(b"".join(parts)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def _control(kind: int, payload: bytes) -> bytes:
    return struct.pack(">II", VERSION << 16 | kind, len(payload)) + payload
