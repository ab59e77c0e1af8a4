"""One line of the log, as it lies on the disk, and the checksum that guards it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from edgelab.edgesite.store.entries import Key

COLUMNS = "revision, bucket, namespace, name, deleted, previous, value, crc"


class Row(NamedTuple):
    """`previous` is the revision of the version before, 0 for none. `value` is what lies on the disk."""

    revision: int
    key: Key
    deleted: bool
    previous: int
    value: bytes


class Transform(Protocol):
    """Between an object's JSON and the bytes on the disk: where encryption at rest belongs.

    Called on the store's writer thread for every row that is written or read; `from_disk` raises
    `Damaged` for bytes that it cannot read. Checksums, backups and followers see only bytes of the disk.
    """

    def to_disk(self, key: Key, data: bytes) -> bytes:
        """What to write for an object."""
        ...

    def from_disk(self, key: Key, stored: bytes) -> bytes:
        """The object of what was read."""
        ...


class Plain:
    """JSON as it is."""

    def to_disk(self, key: Key, data: bytes) -> bytes:
        """The same."""
        return data

    def from_disk(self, key: Key, stored: bytes) -> bytes:
        """The same."""
        return stored


PLAIN = Plain()


def checksum(row: Row) -> int:
    """CRC-32 over every column. It is there for disks that lie, not for people who do."""
    bucket, namespace, name = row.key
    head = f"{row.revision}\0{bucket}\0{namespace}\0{name}\0{int(row.deleted)}\0{row.previous}\0"
    return zlib.crc32(row.value, zlib.crc32(head.encode()))


def columns(row: Row) -> tuple[Any, ...]:
    """The row as SQLite takes it, in the order of COLUMNS."""
    return (row.revision, *row.key, int(row.deleted), row.previous, row.value, checksum(row))


def read(found: Sequence[Any]) -> tuple[Row, bool]:
    """A row of the table, and whether it is what was written."""
    revision, bucket, namespace, name, deleted, previous, value, crc = found
    row = Row(revision, Key(bucket, namespace, name), bool(deleted), previous, value)
    return row, isinstance(value, bytes) and checksum(row) == crc
