"""The packets that only clients send, and a stream of those that brokers do (OASIS MQTT 3.1.1). No I/O."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from edgelab.edgecore.eventbus.broker import packets
from edgelab.edgecore.eventbus.broker.packets import Malformed

PING = bytes((packets.PINGREQ << 4, 0))
GOODBYE = bytes((packets.DISCONNECT << 4, 0))
CLEAN, WITH_PASSWORD, WITH_USER = 0x02, 0x40, 0x80
LEVEL = 4
LONGEST_HEAD = 2 + 65535 + 2
"""Bytes of a PUBLISH before its payload, at most."""


class Packet(NamedTuple):
    """A packet; of a large one only the beginning is in `body`, and `size` says how long it was."""

    first: int
    body: bytes
    size: int


class Published(NamedTuple):
    """A PUBLISH as it is: its topic may be anything, and of its payload's `size` bytes some may be missing.

    `number` is 0 for QoS 0."""

    topic: bytes
    payload: bytes
    number: int
    size: int


class Stream:
    """Cuts a stream into packets, and keeps at most `most` bytes of each: the rest passes by unseen."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rest = b""
        self._skip = 0

    def feed(self, data: bytes) -> Iterator[Packet]:
        """The packets that are complete now. Raises Malformed."""
        if self._skip:
            passed = min(self._skip, len(data))
            self._skip -= passed
            data = data[passed:]
        data = self._rest + data if self._rest else data
        at = 0
        while (place := _body_at(data, at)) is not None:
            size, start = place
            end = start + min(size, self._most)
            if end > len(data):
                break
            yield Packet(data[at], data[start:end], size)
            at = end
            if size > self._most:
                passed = min(size - self._most, len(data) - at)
                self._skip, at = size - self._most - passed, at + passed
        self._rest = data[at:]


def published(packet: Packet) -> Published:
    """Read a PUBLISH without judging it. Raises Malformed when it is none."""
    body, qos = packet.body, packet.first >> 1 & 3
    end = 2 + (body[0] << 8 | body[1]) if len(body) > 1 else 2
    start = end + (2 if qos else 0)
    if start > len(body) or qos > 1:
        raise Malformed("a PUBLISH ends in the middle of a field, or has a QoS that was not asked for")
    number = packets.identifier(body[end:start]) if qos else 0
    return Published(body[2:end], body[start:], number, packet.size - start)


def connect(client_id: str, keepalive: int, username: str, password: str) -> bytes:
    """A CONNECT for a clean session; a password goes with a user name only."""
    flags, login = CLEAN, b""
    if username:
        flags |= WITH_USER | WITH_PASSWORD
        login = _text(username) + _text(password)
    head = _text("MQTT") + bytes((LEVEL, flags)) + struct.pack("!H", keepalive)
    return _framed(packets.CONNECT << 4, head + _text(client_id) + login)


def subscribe(number: int, patterns: list[str]) -> bytes:
    """A SUBSCRIBE with QoS 1."""
    body = b"".join(_text(pattern) + b"\1" for pattern in patterns)
    return _framed(
        packets.SUBSCRIBE << 4 | packets.FLAGS[packets.SUBSCRIBE], struct.pack("!H", number) + body
    )


def unsubscribe(number: int, pattern: str) -> bytes:
    """An UNSUBSCRIBE."""
    first = packets.UNSUBSCRIBE << 4 | packets.FLAGS[packets.UNSUBSCRIBE]
    return _framed(first, struct.pack("!H", number) + _text(pattern))


def _body_at(data: bytes, at: int) -> tuple[int, int] | None:
    """How long the packet's body is and where it begins; None while that is not known."""
    length, shift, place = 0, 0, at + 1
    while place < len(data):
        digit = data[place]
        length |= (digit & 0x7F) << shift
        place += 1
        if digit < 0x80:
            return length, place
        shift += 7
        if shift > 21:
            raise Malformed("the length of a packet has five bytes")
    return None


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("!H", len(raw)) + raw


def _framed(first: int, body: bytes) -> bytes:
    return bytes((first,)) + packets.length(len(body)) + body
