"""Header blocks of HTTP/2 (HPACK, RFC 7541): written without compression, read whatever the peer sends."""

from __future__ import annotations

from collections import deque
from functools import cache

Header = tuple[bytes, bytes]

TABLE_SIZE = 4096
"""Octets of the dynamic table that a peer may fill: the default, as nothing else is asked of it."""
ENTRY_OVERHEAD = 32

_STATIC = (
    ":authority: :method:GET :method:POST :path:/ :path:/index.html :scheme:http :scheme:https :status:200"
    " :status:204 :status:206 :status:304 :status:400 :status:404 :status:500 accept-charset:"
    " accept-encoding:gzip,_deflate accept-language: accept-ranges: accept: access-control-allow-origin:"
    " age: allow: authorization: cache-control: content-disposition: content-encoding: content-language:"
    " content-length: content-location: content-range: content-type: cookie: date: etag: expect: expires:"
    " from: host: if-match: if-modified-since: if-none-match: if-range: if-unmodified-since: last-modified:"
    " link: location: max-forwards: proxy-authenticate: proxy-authorization: range: referer: refresh:"
    " retry-after: server: set-cookie: strict-transport-security: transfer-encoding: user-agent: vary: via:"
    " www-authenticate:"
)
"""Appendix A, numbered from 1; an underscore is a space."""

_LENGTHS = (
    "ISXXXXXXXTZXXZXXXXXXXXZXXXXXXXXXBFFHIBDGFFDGDBBBAAABBBBBBBCDKBHFIBCCCCCCCCCCCCCCCCCCCCCCDCDIOIJB"
    "KABABABBBACCBBBABCBAABCCCCCKGJIXPRPPRRRSRSSSSSTSTTRSTSSSSQRSRSSTRQPRRSSQSRRTQRSSQQRQSRSSPRRRSRRS"
    "VVPORSRUVVVWWVTUOQVWWVWTQQVVXWWWPTPQRQQSRRUUTTVSVWVVWWWWWXWWWWWVZ"
)
"""Bits of each Huffman code of appendix B, `A` for 5, the last for EOS, from which the codes follow."""

_EOS = 256


class HpackError(Exception):
    """A header block that cannot be read; the connection is of no use any more."""


def encode(headers: list[Header]) -> bytes:
    """A header block of literals that enter no table: nothing of a connection's state is needed."""
    block = bytearray()
    for name, value in headers:
        block.append(0)
        for text in (name, value):
            block += _integer(len(text), 7)
            block += text
    return bytes(block)


class Decoder:
    """Reads the header blocks of one connection, in their order."""

    def __init__(self) -> None:
        self._table: deque[Header] = deque()
        self._size = 0
        self._limit = TABLE_SIZE

    def decode(self, block: bytes) -> list[Header]:
        """The headers. Raises HpackError."""
        headers: list[Header] = []
        at = 0
        try:
            while at < len(block):
                first = block[at]
                if first & 0x80:
                    index, at = _read_integer(block, at, 7)
                    headers.append(self._entry(index))
                elif first & 0xE0 == 0x20:
                    limit, at = _read_integer(block, at, 5)
                    self._resize(limit)
                else:
                    is_kept = bool(first & 0x40)
                    header, at = self._literal(block, at, 6 if is_kept else 4)
                    headers.append(header)
                    if is_kept:
                        self._keep(header)
        except IndexError:
            raise HpackError("a header block ends early, or names an entry that no table has") from None
        return headers

    def _literal(self, block: bytes, at: int, bits: int) -> tuple[Header, int]:
        index, at = _read_integer(block, at, bits)
        if index:
            name = self._entry(index)[0]
        else:
            name, at = _read_text(block, at)
        value, at = _read_text(block, at)
        return (name, value), at

    def _entry(self, index: int) -> Header:
        static = _static()
        if not index:
            raise HpackError("header 0 is asked for")
        return static[index - 1] if index <= len(static) else self._table[index - len(static) - 1]

    def _keep(self, header: Header) -> None:
        self._table.appendleft(header)
        self._size += _weight(header)
        self._evict()

    def _resize(self, limit: int) -> None:
        if limit > TABLE_SIZE:
            raise HpackError(f"a header table of {limit} octets, {TABLE_SIZE} are granted")
        self._limit = limit
        self._evict()

    def _evict(self) -> None:
        while self._size > self._limit:
            self._size -= _weight(self._table.pop())


def _weight(header: Header) -> int:
    return len(header[0]) + len(header[1]) + ENTRY_OVERHEAD


def _integer(number: int, bits: int) -> bytes:
    """Section 5.1, with zeroes before it."""
    most = (1 << bits) - 1
    if number < most:
        return bytes([number])
    octets = bytearray([most])
    number -= most
    while number >= 0x80:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*octets, number])


def _read_integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    most = (1 << bits) - 1
    number = block[at] & most
    at += 1
    if number < most:
        return number, at
    for shift in range(0, 29, 7):
        octet = block[at]
        at += 1
        number += (octet & 0x7F) << shift
        if not octet & 0x80:
            return number, at
    raise HpackError("an integer in a header block has no end")


def _read_text(block: bytes, at: int) -> tuple[bytes, int]:
    is_huffman = block[at] & 0x80
    length, at = _read_integer(block, at, 7)
    text = block[at : at + length]
    if len(text) < length:
        raise IndexError
    return _huffman(text) if is_huffman else text, at + length


def _huffman(text: bytes) -> bytes:
    codes, found = _codes(), bytearray()
    code = bits = 0
    for octet in text:
        for shift in range(7, -1, -1):
            code, bits = code << 1 | octet >> shift & 1, bits + 1
            symbol = codes.get((bits, code))
            if symbol is None:
                continue
            if symbol == _EOS:
                raise HpackError("a Huffman text has an end inside")
            found.append(symbol)
            code = bits = 0
    if bits > 7 or code != (1 << bits) - 1:
        raise HpackError("a Huffman text ends within a symbol")
    return bytes(found)


@cache
def _static() -> list[Header]:
    entries = (entry.rpartition(":") for entry in _STATIC.split())
    return [(name.encode(), value.replace("_", " ").encode()) for name, _, value in entries]


@cache
def _codes() -> dict[tuple[int, int], int]:
    """(bits, code) -> symbol. Of one length they are numbered in the order of symbols."""
    code = before = 0
    found = {}
    for bits, symbol in sorted((ord(letter) - 60, symbol) for symbol, letter in enumerate(_LENGTHS)):
        code <<= bits - before
        found[bits, code] = symbol
        code, before = code + 1, bits
    return found
