"""DNS messages (RFC 1035, EDNS(0): RFC 6891), as far as a server of a few record types needs them.

No I/O. A question is read strictly: one question, no compression in it, so nothing can loop or grow.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from typing import NamedTuple

A, NS, CNAME, SOA, AAAA, SRV, OPT, ANY = 1, 2, 5, 6, 28, 33, 41, 255
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5
QR, AA, TC, RD, RA = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
HEADER = struct.Struct("!6H")
PLAIN_UDP_SIZE = 512
LARGEST_UDP_SIZE = 1232
"""What is sent at most in a datagram, whatever the other side offers: no fragments (DNS flag day 2020)."""
QUESTION_NAME = b"\xc0\x0c"
"""A pointer to the name of the question, which stands right behind the header."""
OPT_RECORD = b"\0" + struct.pack("!HHIH", OPT, LARGEST_UDP_SIZE, 0, 0)


class Malformed(Exception):
    """No query that can be answered. `code` is what to say; None: say nothing."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"response code {code}")
        self.code = code


@dataclass(frozen=True, slots=True)
class Query:
    """One question. `question` is its part of the message, to be repeated as it came."""

    number: int
    flags: int
    name: tuple[str, ...]
    """Labels in lower case, without the root."""
    kind: int
    question: bytes
    udp_size: int
    has_edns: bool


class Record(NamedTuple):
    """A record of an answer; `owner` in wire form."""

    owner: bytes
    kind: int
    ttl: int
    data: bytes


def parse(message: bytes) -> Query:
    """Read a query. Raises Malformed."""
    if len(message) < HEADER.size:
        raise Malformed(None)
    number, flags, questions, answers, authorities, more = HEADER.unpack_from(message)
    if flags & QR:
        raise Malformed(None)  # an answer is never answered: two servers would talk for ever
    if flags >> 11 & 15:
        raise Malformed(NOTIMP)
    if questions != 1 or answers or authorities:
        raise Malformed(FORMERR)
    name, at = _question_name(message)
    if len(message) < at + 4:
        raise Malformed(FORMERR)
    kind, klass = struct.unpack_from("!HH", message, at)
    at += 4
    if klass != IN:
        raise Malformed(REFUSED)
    size = _edns_size(message, at, more)
    udp = PLAIN_UDP_SIZE if size is None else min(max(size, PLAIN_UDP_SIZE), LARGEST_UDP_SIZE)
    return Query(number, flags, name, kind, message[HEADER.size : at], udp, size is not None)


def _question_name(message: bytes) -> tuple[tuple[str, ...], int]:
    labels: list[str] = []
    at = HEADER.size
    while True:
        if at >= len(message) or at - HEADER.size > 254:
            raise Malformed(FORMERR)
        length = message[at]
        at += 1
        if length == 0:
            return tuple(labels), at
        if length > 63 or at + length > len(message):
            raise Malformed(FORMERR)
        labels.append(message[at : at + length].decode("latin-1").lower())
        at += length


def _edns_size(message: bytes, at: int, records: int) -> int | None:
    """What the OPT record says it takes; None without one."""
    for _ in range(min(records, 4)):
        if message[at : at + 1] != b"\0" or at + 11 > len(message):
            return None
        kind, klass, _, length = struct.unpack_from("!HHIH", message, at + 1)
        if kind == OPT:
            return int(klass)
        at += 11 + length
    return None


def answer(
    query: Query,
    code: int,
    *,
    records: list[Record] | None = None,
    authority: list[Record] | None = None,
    additional: list[Record] | None = None,
    limit: int = 65535,
) -> bytes:
    """An authoritative answer of at most `limit` bytes; what does not fit leaves it marked as truncated."""
    sections = [records or [], authority or [], additional or []]
    flags = QR | AA | RA | query.flags & RD | code
    message = _built(query, flags, sections)
    if len(message) > limit:  # additional records are a courtesy
        sections[2] = []
        message = _built(query, flags, sections)
    if len(message) > limit:
        message = _built(query, flags | TC, [[], [], []])
    return message


def _built(query: Query, flags: int, sections: list[list[Record]]) -> bytes:
    counts = [len(section) for section in sections]
    counts[2] += query.has_edns
    body = b"".join(
        owner + struct.pack("!HHIH", kind, IN, ttl, len(data)) + data
        for section in sections
        for owner, kind, ttl, data in section
    )
    edns = OPT_RECORD if query.has_edns else b""
    return HEADER.pack(query.number, flags, 1, *counts) + query.question + body + edns


def refusal(message: bytes, code: int) -> bytes:
    """An answer without a question, for what could not be read."""
    number, flags = struct.unpack_from("!HH", message)
    return HEADER.pack(number, QR | RA | flags & (RD | 0x7800) | code, 0, 0, 0, 0)


def cut(response: bytes, limit: int) -> bytes:
    """Somebody else's answer for a datagram: as it is, or its question only and marked as truncated."""
    if len(response) <= limit:
        return response
    number, flags, *_ = HEADER.unpack_from(response)
    _, at = _question_name(response)
    return HEADER.pack(number, flags | TC, 1, 0, 0, 0) + response[HEADER.size : at + 4]


def encode_name(labels: tuple[str, ...] | list[str]) -> bytes:
    """Labels in wire form, with the root."""
    parts = [label.encode("latin-1") for label in labels]
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def address(ip: str) -> bytes:
    """The data of an A record."""
    return ipaddress.IPv4Address(ip).packed


def service(port: int, target: bytes) -> bytes:
    """The data of an SRV record; all targets have the same priority and weight."""
    return struct.pack("!HHH", 0, 100, port) + target


def authority(zone: bytes, serial: int, minimum: int) -> bytes:
    """The data of an SOA record."""
    names = b"\x02ns\x03dns" + zone + b"\x0ahostmaster" + zone
    return names + struct.pack("!5I", serial, 7200, 1800, 86400, minimum)
