"""The last changes of stored objects, so that a watch can go on where it ended."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"
ENTRIES, BYTES = 512, 1 << 20
"""What is remembered at most; older changes are forgotten."""


class Expired(Exception):
    """The version is older than what is remembered: whoever watches has to list again."""


class Change(NamedTuple):
    """One change of one object. `data` is the object's JSON; of a deleted one, its last state.

    A change without a key marks a version that a list had.
    """

    type: str
    key: str
    version: int
    data: bytes = b""


class ChangeLog:
    """Changes in the order of their arrival, which is not always that of their versions."""

    def __init__(self, floor: int) -> None:
        self._entries: deque[Change] = deque()
        self._bytes = 0
        self._floor = floor
        self.revision = floor
        """The highest version that was ever seen."""

    def append(self, change: Change) -> None:
        """Remember a change."""
        self._entries.append(change)
        self._bytes += len(change.data)
        self.revision = max(self.revision, change.version)
        while len(self._entries) > ENTRIES or self._bytes > BYTES:
            oldest = self._entries.popleft()
            self._bytes -= len(oldest.data)
            self._floor = max(self._floor, oldest.version)

    def mark(self, version: int) -> None:
        """A list had this version: a watch may go on from here."""
        if version > self.revision:
            self.append(Change("", "", version))

    def since(self, version: int) -> list[Change]:
        """Every change after a version was seen. Raises Expired."""
        entries = list(self._entries)
        for position in range(len(entries) - 1, -1, -1):
            if entries[position].version == version:
                return entries[position + 1 :]
        if version < self._floor:
            raise Expired(f"too old resource version: {version} ({self._floor})")
        first = next((i for i, entry in enumerate(entries) if entry.version > version), len(entries))
        return entries[first:]
