"""What a site and its followers say to each other, over a websocket: batches of the log one way, the
revision that is durable on the other side the other way. MessagePack, because values are bytes.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from edgelab.edgesite.operation.datadir import KEYS
from edgelab.edgesite.store.entries import Key
from edgelab.edgesite.store.rows import Row

SNAPSHOT, LOG, TERM = "/edgesite/v1/snapshot", "/edgesite/v1/log", "/edgesite/v1/term"
HEARTBEAT_SECONDS = 1.0
SHARED_KEYS = ("ca.crt", "ca.key", "service-account.key")
"""What nodes and tokens trust. The server's certificate is not among them: every box has its own."""

WireRow = tuple[int, str, str, str, bool, int, bytes]


class Batch(msgspec.Struct, array_like=True):
    """Rows in order; none is a sign of life. `revision` is the site's newest, `floor` its oldest."""

    revision: int
    floor: int
    rows: list[WireRow]


class Durable(msgspec.Struct, array_like=True):
    """Everything up to this revision survives a power cut of the follower."""

    revision: int


_encoder = msgspec.msgpack.Encoder()
_batches = msgspec.msgpack.Decoder(Batch)
_answers = msgspec.msgpack.Decoder(Durable)


def encode(message: Batch | Durable) -> bytes:
    """One message."""
    return _encoder.encode(message)


def batch(data: bytes) -> Batch:
    """What the site sent. Raises msgspec.MsgspecError."""
    return _batches.decode(data)


def answer(data: bytes) -> Durable:
    """What a follower answered. Raises msgspec.MsgspecError."""
    return _answers.decode(data)


def to_wire(row: Row) -> WireRow:
    """A row of the log."""
    return (row.revision, *row.key, row.deleted, row.previous, row.value)


def from_wire(found: WireRow) -> Row:
    """A row of the log."""
    revision, bucket, namespace, name, deleted, previous, value = found
    return Row(revision, Key(bucket, namespace, name), deleted, previous, value)


def keys_digest(data_dir: Path) -> str:
    """A hash of the keys that both sides must have; empty without keys."""
    files = [data_dir / KEYS / name for name in SHARED_KEYS]
    present = [file.read_bytes() for file in files if file.exists()]
    return hashlib.sha256(b"\0".join(present)).hexdigest() if present else ""
