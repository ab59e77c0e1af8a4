"""Frames of HTTP/2 (RFC 9113, sections 4 and 6): the bytes, and no state."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_FRAME = 16384
"""Octets of a frame's payload, in both directions: what every peer takes, and what we allow ours."""
DEFAULT_WINDOW = 65535

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITY_FIELDS = 0x20

_HEAD = struct.Struct("!HBBBI")
_SETTING = struct.Struct("!HI")


class Kind(IntEnum):
    """Types of frames that mean something to a client."""

    DATA = 0
    HEADERS = 1
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9


class Setting(IntEnum):
    """Settings that mean something to a client."""

    ENABLE_PUSH = 2
    MAX_CONCURRENT_STREAMS = 3
    INITIAL_WINDOW_SIZE = 4


class Code(IntEnum):
    """Error codes (section 7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class FrameError(Exception):
    """What arrived is no HTTP/2, or breaks its rules."""


class Frame(NamedTuple):
    """One frame; `kind` is a plain number, as unknown ones have to be passed over."""

    kind: int
    flags: int
    stream: int
    payload: bytes


def pack(kind: Kind, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """The bytes of a frame."""
    size = len(payload)
    return _HEAD.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def settings(values: dict[Setting, int]) -> bytes:
    """A SETTINGS frame."""
    return pack(Kind.SETTINGS, 0, 0, b"".join(_SETTING.pack(name, value) for name, value in values.items()))


def window_update(stream: int, octets: int) -> bytes:
    """Let the peer send so much more; stream 0 is the connection."""
    return pack(Kind.WINDOW_UPDATE, 0, stream, octets.to_bytes(4))


def reset(stream: int, code: Code) -> bytes:
    """Give a stream up."""
    return pack(Kind.RST_STREAM, 0, stream, int(code).to_bytes(4))


def unpack(buffer: bytearray) -> Iterator[Frame]:
    """Take every whole frame out of what has arrived. Raises FrameError."""
    at = 0
    try:
        while len(buffer) - at >= _HEAD.size:
            high, low, kind, flags, stream = _HEAD.unpack_from(buffer, at)
            size = high << 8 | low
            if size > MAX_FRAME:
                raise FrameError(f"a frame of {size} octets, {MAX_FRAME} are allowed: is that gRPC?")
            if len(buffer) - at < _HEAD.size + size:
                return
            payload = bytes(buffer[at + _HEAD.size : at + _HEAD.size + size])
            at += _HEAD.size + size
            yield Frame(kind, flags, stream & 0x7FFFFFFF, payload)
    finally:
        del buffer[:at]


def settings_of(payload: bytes) -> list[tuple[int, int]]:
    """The settings that a peer tells. Raises FrameError."""
    if len(payload) % _SETTING.size:
        raise FrameError("a SETTINGS frame of a wrong size")
    return list(_SETTING.iter_unpack(payload))


def number_of(payload: bytes, at: int = 0) -> int:
    """The 32-bit number of which the highest bit is reserved. Raises FrameError."""
    if len(payload) < at + 4:
        raise FrameError("a frame that is too short")
    return int.from_bytes(payload[at : at + 4]) & 0x7FFFFFFF


def content(frame: Frame) -> bytes:
    """The payload of DATA or HEADERS without padding and priority. Raises FrameError."""
    payload = frame.payload
    if frame.flags & PADDED:
        if not payload or len(payload) <= payload[0]:
            raise FrameError("a frame with more padding than content")
        payload = payload[1 : len(payload) - payload[0]]
    if frame.kind == Kind.HEADERS and frame.flags & PRIORITY_FIELDS:
        payload = payload[5:]
    return payload
