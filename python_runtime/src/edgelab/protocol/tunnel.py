"""The tunnel between CloudStream and EdgeStream: frames, and what opens a connection inside it.

Facts: KubeEdge `pkg/stream` (docs/reference/streams.md). A frame is one WebSocket message with the opcode of
text and bytes that need not be UTF-8:

    uvarint connection | uvarint kind | data, the rest of the message

`CREDIT` and `HEAD` are ours, between our own daemons, which tell so in `FEATURES` of the handshake; the
originals never see them. With `CREDIT` a receiver says how many bytes more it takes on a connection; `HEAD`
comes before the data of LOGS and METRICS and says how the request ended, which the original does not tell.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

PATH = "/v1/kubeedge/connect"
NODE_HEADER, ADDRESS_HEADER = "SessionHostNameOverride", "SessionInternalIP"
FEATURES = "Edgelab-Tunnel"
"""Header of both sides of the handshake; its value is a version, now `VERSION`."""
VERSION = "1"
PING = b"ping you"
PING_SECONDS = 5.0

DATA_LIMIT = 1 << 20
"""Bytes of data in one frame that the original reads; what is beyond, it drops."""
CHUNK = 32 << 10
"""Bytes of data that we put into one frame. The original puts 256, and reads any number up to DATA_LIMIT."""
WINDOW = 128 << 10
"""Bytes of one connection and direction that may wait at their receiver."""
LONGEST_UVARINT = 10
LIMIT_64 = 1 << 64

KUBELET_HOST = "127.0.0.1:10350"
"""What stands in `url.Host`: the read-only port of a kubelet of the original; ours does not look at it."""


class Kind(enum.IntEnum):
    """What a frame is for."""

    LOGS = 0
    EXEC = 1
    METRICS = 2
    DATA = 3
    REMOVE = 4
    CLOSE = 5
    ATTACH = 6
    CREDIT = 7
    HEAD = 8


CONNECTS = frozenset({Kind.LOGS, Kind.EXEC, Kind.METRICS, Kind.ATTACH})
"""The kinds that open a connection. The original forwards ports not at all; we do it as EXEC, whose path says
what is meant: an edge of the original passes that on to its kubelet just the same."""


class Malformed(ValueError):
    """A frame or what it carries cannot be read; the text says why."""


class Frame(NamedTuple):
    """One frame. `kind` is a number, because newer peers may send kinds that nobody here knows."""

    connection: int
    kind: int
    data: bytes


class Url(msgspec.Struct):
    """Go's `url.URL`, field by field; `User` is never set."""

    Scheme: str = "http"
    Opaque: str = ""
    User: Any = None
    Host: str = KUBELET_HOST
    Path: str = ""
    Fragment: str = ""
    RawQuery: str = ""
    RawPath: str = ""
    RawFragment: str = ""
    ForceQuery: bool = False
    OmitHost: bool = False


class Connect(msgspec.Struct):
    """Content of a frame that opens a connection. `header` has canonical names; no `method` means GET."""

    MessID: int
    url: Url
    header: dict[str, list[str]] | None = None
    method: str | msgspec.UnsetType = msgspec.UNSET


class Head(msgspec.Struct):
    """Content of a HEAD: a status as in HTTP, and the type of what follows."""

    status: int
    contentType: str = "text/plain"


_heads = msgspec.json.Decoder(Head)
_connects = msgspec.json.Decoder(Connect)


def uvarint(value: int) -> bytes:
    """Little-endian base 128, as Go's `binary.PutUvarint`. Raises ValueError outside of 64 bits."""
    if not 0 <= value < LIMIT_64:
        raise ValueError(f"{value} does not fit into 64 bits without sign")
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_uvarint(data: bytes, start: int = 0) -> tuple[int, int]:
    """A number and where it ends. Raises Malformed."""
    value = shift = 0
    for position in range(start, min(len(data), start + LONGEST_UVARINT)):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >= LIMIT_64:
                break
            return value, position + 1
        shift += 7
    else:
        if len(data) - start < LONGEST_UVARINT:
            raise Malformed("the frame ends within a number")
    raise Malformed("a number of the frame has more than 64 bits")


def encode(connection: int, kind: int, data: bytes = b"") -> bytes:
    """A frame as it goes over the wire. Raises ValueError for more data than the original reads."""
    if len(data) > DATA_LIMIT:
        raise ValueError(f"{len(data)} bytes of data; a frame has {DATA_LIMIT} at most")
    return b"".join((uvarint(connection), uvarint(kind), data))


def decode(message: bytes) -> Frame:
    """Read a message. Raises Malformed."""
    connection, position = read_uvarint(message)
    kind, position = read_uvarint(message, position)
    if len(message) - position > DATA_LIMIT:
        raise Malformed(f"the frame has more than {DATA_LIMIT} bytes of data")
    return Frame(connection, kind, message[position:])


def credit(data: bytes) -> int:
    """Bytes that a CREDIT allows. Raises Malformed."""
    value, end = read_uvarint(data)
    if end != len(data) or value > LIMIT_64 >> 1:
        raise Malformed("a credit is one number below 2^63")
    return value


def connect(
    connection: int, path: str, query: str, header: Mapping[str, Sequence[str]], method: str = ""
) -> bytes:
    """The data of a frame that opens a connection; `query` is encoded, `path` is not."""
    sent = {canonical(name): list(values) for name, values in header.items()}
    return msgspec.json.encode(
        Connect(connection, Url(Path=path, RawQuery=query), sent, method or msgspec.UNSET)
    )


def read_connect(data: bytes) -> Connect:
    """Read the data of a frame that opens a connection. Raises Malformed."""
    try:
        return _connects.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"what opens a connection cannot be read: {error}") from error


def read_head(data: bytes) -> Head:
    """Read the data of a HEAD. Raises Malformed."""
    try:
        head = _heads.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"the head of an answer cannot be read: {error}") from error
    if not 200 <= head.status <= 599 or not head.contentType.isprintable():
        raise Malformed(f"{head.status} {head.contentType!r} is no head of an answer")
    return head


def canonical(name: str) -> str:
    """A header's name as Go writes it: `x-stream-protocol-version` is `X-Stream-Protocol-Version`."""
    return "-".join(part[:1].upper() + part[1:].lower() for part in name.split("-"))
