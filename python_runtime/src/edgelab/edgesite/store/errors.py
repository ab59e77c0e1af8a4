"""What can go wrong with the store, for those who call it."""

from __future__ import annotations

import sqlite3

from edgelab.objects.status import ApiError


class Compacted(Exception):
    """The revision asked for is no longer kept."""


class Damaged(sqlite3.DatabaseError):
    """A row is not what was written: its checksum is wrong. It is never handed out."""


class StoreFailed(ApiError):
    """The disk refused; of a write nothing was kept. It is the caller's answer as kube-apiserver gives it
    for an error of etcd that it does not know: 500 without a reason.
    """

    def __init__(self, message: str) -> None:
        super().__init__(500, message, reason="")


def failure(error: sqlite3.Error, where: str) -> StoreFailed:
    """The refusal in words: first etcd's own, where there are any, then the cause and the way out."""
    if is_full(error):
        return StoreFailed(
            f"etcdserver: mvcc: database space exceeded: the disk of {where} is full; writes are accepted"
            " again as soon as there is room"
        )
    return StoreFailed(f"the store refused: {where}: {error}")


def is_full(error: sqlite3.Error) -> bool:
    """Whether there is no room left on the disk."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL or "disk is full" in str(error)
