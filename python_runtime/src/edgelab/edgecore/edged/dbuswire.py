"""D-Bus messages as bytes (D-Bus Specification, "Message Protocol"), what logind and systemd need. No I/O.

Types: y b n q i u x t d s o g h v, arrays, structs and dictionary entries. Little-endian is written, both
are read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
FIXED = 16
"""Bytes of a message's head that tell how long the rest is."""

LARGEST = 1 << 24

_PLAIN = {"y": "B", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d", "b": "I", "h": "I"}
_FIELDS = {1: "path", 2: "interface", 3: "member", 4: "error", 5: "reply_to", 6: "destination", 7: "sender"}
_CODES = {name: (code, "o" if code == 1 else "u" if code == 5 else "s") for code, name in _FIELDS.items()}


@dataclass(slots=True)
class Message:
    """One message; `body` holds a value for each complete type of `signature`."""

    kind: int
    serial: int = 0
    path: str = ""
    interface: str = ""
    member: str = ""
    error: str = ""
    reply_to: int = 0
    destination: str = ""
    sender: str = ""
    signature: str = ""
    body: list[Any] = field(default_factory=list)
    descriptors: int = 0


def encode(message: Message) -> bytes:
    """The bytes of a message."""
    body = _Writer()
    for kind, value in zip(_split(message.signature), message.body, strict=True):
        body.put(kind, value)
    fields: list[tuple[int, tuple[str, Any]]] = [
        (code, (kind, getattr(message, name)))
        for name, (code, kind) in _CODES.items()
        if getattr(message, name)
    ]
    if message.signature:
        fields.append((8, ("g", message.signature)))
    if message.descriptors:
        fields.append((9, ("u", message.descriptors)))
    head = _Writer()
    head.data += struct.pack("<cBBBII", b"l", message.kind, 0, 1, len(body.data), message.serial)
    head.put("a(yv)", fields)
    head.align(8)
    return bytes(head.data + body.data)


def length(head: bytes) -> int:
    """How long a message is, by its first `FIXED` bytes. Raises ValueError for what is no message."""
    order = _order(head)
    body, _, fields = struct.unpack_from(f"{order}III", head, 4)
    total = FIXED + int(fields) + (-int(fields)) % 8 + int(body)
    if head[3] != 1 or total > LARGEST:
        raise ValueError("this is no D-Bus message")
    return total


def decode(data: bytes) -> Message:
    """Read a whole message. Raises ValueError."""
    order = _order(data)
    try:
        reader = _Reader(data, order, 12)
        message = Message(data[1], struct.unpack_from(f"{order}I", data, 8)[0])
        for code, value in reader.get("a(yv)"):
            if code in _FIELDS:
                setattr(message, _FIELDS[code], value)
            elif code == 8:
                message.signature = value
            elif code == 9:
                message.descriptors = value
        reader.align(8)
        message.body = [reader.get(kind) for kind in _split(message.signature)]
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError(f"a D-Bus message cannot be read: {error}") from error
    return message


def _order(data: bytes) -> str:
    if data[:1] not in (b"l", b"B"):
        raise ValueError("this is no D-Bus message")
    return "<" if data[:1] == b"l" else ">"


def _split(signature: str) -> list[str]:
    """The complete types of a signature."""
    found, at = [], 0
    while at < len(signature):
        end = _end(signature, at)
        found.append(signature[at:end])
        at = end
    return found


def _end(signature: str, at: int) -> int:
    if signature[at] == "a":
        return _end(signature, at + 1)
    if signature[at] in "({":
        at += 1
        while signature[at] not in ")}":
            at = _end(signature, at)
    return at + 1


def _alignment(kind: str) -> int:
    if kind[0] in "({":
        return 8
    if kind[0] in "soa":
        return 4
    return 1 if kind[0] in "gv" else struct.calcsize(_PLAIN[kind[0]])


class _Writer:
    def __init__(self) -> None:
        self.data = bytearray()

    def align(self, size: int) -> None:
        self.data += bytes(-len(self.data) % size)

    def put(self, kind: str, value: Any) -> None:
        self.align(_alignment(kind))
        match kind[0]:
            case "s" | "o":
                text = str(value).encode()
                self.data += struct.pack("<I", len(text)) + text + b"\0"
            case "g":
                self.data += bytes([len(value)]) + value.encode() + b"\0"
            case "v":
                self.put("g", value[0])
                self.put(*value)
            case "a":
                self._array(kind[1:], value)
            case "(" | "{":
                for inner, item in zip(_split(kind[1:-1]), value, strict=True):
                    self.put(inner, item)
            case _:
                self.data += struct.pack("<" + _PLAIN[kind], value)

    def _array(self, kind: str, items: Any) -> None:
        at = len(self.data)
        self.data += bytes(4)
        self.align(_alignment(kind))
        start = len(self.data)
        for item in items:
            self.put(kind, item)
        struct.pack_into("<I", self.data, at, len(self.data) - start)


class _Reader:
    def __init__(self, data: bytes, order: str, at: int) -> None:
        self._data, self._order, self._at = data, order, at

    def align(self, size: int) -> None:
        self._at += -self._at % size

    def get(self, kind: str) -> Any:
        self.align(_alignment(kind))
        match kind[0]:
            case "s" | "o":
                return self._text(self._number("I"))
            case "g":
                return self._text(self._number("B"))
            case "v":
                return self.get(self.get("g"))
            case "a":
                return self._array(kind[1:])
            case "(" | "{":
                return tuple(self.get(inner) for inner in _split(kind[1:-1]))
        value = self._number(_PLAIN[kind])
        return bool(value) if kind == "b" else value

    def _array(self, kind: str) -> list[Any]:
        size, found = self._number("I"), []
        self.align(_alignment(kind))
        end = self._at + size
        while self._at < end:
            found.append(self.get(kind))
        return found

    def _number(self, form: str) -> Any:
        value = struct.unpack_from(self._order + form, self._data, self._at)[0]
        self._at += struct.calcsize(form)
        return value

    def _text(self, size: int) -> str:
        text = self._data[self._at : self._at + size].decode()
        self._at += size + 1
        return text
