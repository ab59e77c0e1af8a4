"""MQTT control packets as bytes (OASIS MQTT 3.1.1, chapters 2 and 3). No I/O."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from edgelab.edgecore.eventbus import names

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = range(1, 8)
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = range(8, 15)

ACCEPTED, BAD_VERSION, BAD_CLIENT_ID, UNAVAILABLE, BAD_LOGIN, NOT_AUTHORIZED = range(6)
"""Return codes of CONNACK."""

REFUSED = 0x80
"""Return code of SUBACK."""

LEVELS = {("MQTT", 4), ("MQIsdp", 3)}
"""Protocol names and levels that are spoken: 3.1.1, and 3.1, whose packets are the same."""

FLAGS = {PUBREL: 2, SUBSCRIBE: 2, UNSUBSCRIBE: 2}
"""The low half of the first byte, where it is not zero (PUBLISH has meaning in it)."""

_U16 = struct.Struct("!H")


class Malformed(Exception):
    """The peer does not speak MQTT as it must; the connection ends."""


class WrongVersion(Malformed):
    """The peer speaks another version of MQTT."""


class Message(NamedTuple):
    """An application message."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


class Connect(NamedTuple):
    """What a client introduces itself with."""

    client_id: str
    clean: bool
    keepalive: int
    will: Message | None
    username: str | None
    password: bytes | None


class Splitter:
    """Cuts a stream into packets. What is larger than `maximum` bytes is refused at its header."""

    def __init__(self, maximum: int) -> None:
        self.maximum = maximum
        self._data = bytearray()
        self._at = 0
        self._need = 2

    def feed(self, data: bytes) -> None:
        """Take in what was read."""
        if self._at:
            del self._data[: self._at]
            self._at = 0
        self._data += data

    def take(self) -> tuple[int, bytes] | None:
        """The next packet: its first byte and what follows the length. Raises Malformed."""
        data, at = self._data, self._at
        if len(data) - at < self._need:
            return None
        length, shift, place = 0, 0, at + 1
        while True:
            if place == len(data):
                self._need = place - at + 1
                return None
            digit = data[place]
            length |= (digit & 0x7F) << shift
            place += 1
            if digit < 0x80:
                break
            shift += 7
            if shift > 21:
                raise Malformed("the length of a packet has five bytes")
        if length > self.maximum:
            raise Malformed(f"a packet of {length} bytes, {self.maximum} are taken at most")
        end = place + length
        if end > len(data):
            self._need = end - at
            return None
        self._at, self._need = end, 2
        return data[at], bytes(data[place:end])


class _Reader:
    """The fields of a packet one after the other."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._body) - self._at

    def take(self, size: int) -> bytes:
        piece = self._body[self._at : self._at + size]
        if len(piece) < size:
            raise Malformed("a packet ends in the middle of a field")
        self._at += size
        return piece

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        return int(_U16.unpack(self.take(2))[0])

    def binary(self) -> bytes:
        return self.take(self.number())

    def text(self) -> str:
        return _text(self.binary())


def connect(body: bytes) -> Connect:
    """Read a CONNECT. Raises WrongVersion, Malformed."""
    fields = _Reader(body)
    protocol = (fields.text(), fields.byte())
    if protocol not in LEVELS:
        raise WrongVersion(f"{protocol[0][:16]!r} of level {protocol[1]}; this broker speaks MQTT 3.1.1")
    flags = fields.byte()
    keepalive = fields.number()
    client_id = fields.text()
    will_qos = flags >> 3 & 3
    if flags & 1 or will_qos == 3 or (not flags & 4 and flags & 0x38) or (flags & 0x40 and not flags & 0x80):
        raise Malformed("the flags of CONNECT contradict each other")
    will = None
    if flags & 4:
        topic = fields.text()
        _check_name(topic)
        will = Message(topic, fields.binary(), will_qos, bool(flags & 0x20))
    username = fields.text() if flags & 0x80 else None
    password = fields.binary() if flags & 0x40 else None
    return Connect(client_id, bool(flags & 2), keepalive, will, username, password)


def publish(first: int, body: bytes) -> tuple[Message, int]:
    """Read a PUBLISH: the message, and its packet identifier (0 for QoS 0). Raises Malformed."""
    qos = first >> 1 & 3
    if qos == 3:
        raise Malformed("QoS 3 does not exist")
    if len(body) < 2:
        raise Malformed("a PUBLISH without a topic")
    end = 2 + (body[0] << 8 | body[1])
    topic = _text(body[2:end])
    _check_name(topic)
    number = 0
    if qos:
        number = identifier(body[end : end + 2])
        end += 2
    elif end > len(body):
        raise Malformed("a packet ends in the middle of a field")
    return Message(topic, body[end:], qos, bool(first & 1)), number


def subscribe(body: bytes) -> tuple[int, list[tuple[str, int]]]:
    """Read a SUBSCRIBE: its identifier, the filters and the QoS asked for. Raises Malformed."""
    fields = _Reader(body)
    number = identifier(fields.take(2))
    wanted = []
    while fields.left:
        pattern, qos = fields.text(), fields.byte()
        if qos > 2:
            raise Malformed(f"QoS {qos} does not exist")
        wanted.append((pattern, qos))
    if not wanted:
        raise Malformed("a SUBSCRIBE without a filter")
    return number, wanted


def unsubscribe(body: bytes) -> tuple[int, list[str]]:
    """Read an UNSUBSCRIBE: its identifier and the filters. Raises Malformed."""
    fields = _Reader(body)
    number = identifier(fields.take(2))
    patterns = []
    while fields.left:
        patterns.append(fields.text())
    if not patterns:
        raise Malformed("an UNSUBSCRIBE without a filter")
    return number, patterns


def identifier(body: bytes) -> int:
    """Read a packet identifier, all that acknowledgements consist of. Raises Malformed."""
    if len(body) != 2 or body == b"\0\0":
        raise Malformed("a packet identifier has two bytes and is not 0")
    return body[0] << 8 | body[1]


def connack(code: int, *, present: bool = False) -> bytes:
    """Write a CONNACK; `present` says that a session was kept."""
    return bytes((CONNACK << 4, 2, present, code))


def packet(message: Message, qos: int, number: int = 0, *, dup: bool = False) -> bytes:
    """Write a PUBLISH of `message` with `qos`, which may differ from the publisher's."""
    topic = message.topic.encode()
    first = PUBLISH << 4 | dup << 3 | qos << 1 | message.retain
    head = _U16.pack(len(topic)) + topic
    if qos:
        head += _U16.pack(number)
    return bytes((first,)) + length(len(head) + len(message.payload)) + head + message.payload


def acknowledgement(kind: int, number: int) -> bytes:
    """Write a PUBACK, PUBREC, PUBREL, PUBCOMP or UNSUBACK."""
    return bytes((kind << 4 | FLAGS.get(kind, 0), 2, number >> 8, number & 0xFF))


def suback(number: int, codes: Iterable[int]) -> bytes:
    """Write a SUBACK."""
    body = _U16.pack(number) + bytes(codes)
    return bytes((SUBACK << 4,)) + length(len(body)) + body


PONG = bytes((PINGRESP << 4, 0))


def length(size: int) -> bytes:
    """Write how long a packet's body is."""
    if size < 0x80:
        return bytes((size,))
    digits = bytearray()
    while size >= 0x80:
        digits.append(size & 0x7F | 0x80)
        size >>= 7
    digits.append(size)
    return bytes(digits)


def _text(raw: bytes) -> str:
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise Malformed("text that is not UTF-8") from None
    if "\0" in text:
        raise Malformed("text with a NUL")
    return text


def _check_name(topic: str) -> None:
    if problem := names.name_problem(topic):
        raise Malformed(problem)
