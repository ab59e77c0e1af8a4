"""What the store holds and reports."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from edgelab.objects.selectors import field_value


class Key(NamedTuple):
    """Where an object lives: its resource (`apps/deployments`), namespace (may be empty) and name."""

    bucket: str
    namespace: str
    name: str


class _Metadata(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Head(msgspec.Struct):
    metadata: _Metadata


_HEAD = msgspec.json.Decoder(_Head)


def labels_of(data: bytes) -> dict[str, str]:
    """The labels of an encoded object, without decoding the rest."""
    return _HEAD.decode(data).metadata.labels or {}


class Entry:
    """One version of one object: its revision and its JSON."""

    __slots__ = ("_fields", "_labels", "data", "key", "revision")

    def __init__(self, key: Key, revision: int, data: bytes) -> None:
        self.key = key
        self.revision = revision
        self.data = data
        self._labels: dict[str, str] | None = None
        self._fields: dict[str, str] | None = None

    @property
    def labels(self) -> dict[str, str]:
        """The object's labels; do not change them."""
        if self._labels is None:
            self._labels = labels_of(self.data)
        return self._labels

    def field(self, path: str) -> str:
        """A scalar of the object by its dotted path, as text; kept once it was asked for."""
        if path == "metadata.name":
            return self.key.name
        if path == "metadata.namespace":
            return self.key.namespace
        if self._fields is None:
            self._fields = {}
        found = self._fields.get(path)
        if found is None:
            found = self._fields[path] = field_value(msgspec.json.decode(self.data), path)
        return found


class Event:
    """A committed change. `entry` is the new version (for a deletion the last one, under the revision
    of the deletion), `previous` the version before. `frames` is for readers to share what they derive,
    and is forgotten some time after it was `warm`.
    """

    __slots__ = ("_frames", "deleted", "entry", "previous", "warm")

    def __init__(self, entry: Entry, previous: Entry | None, *, deleted: bool) -> None:
        self.entry = entry
        self.previous = previous
        self.deleted = deleted
        self.warm = False
        self._frames: dict[str, bytes] | None = None

    @property
    def frames(self) -> dict[str, bytes]:
        """What readers of this event share."""
        if self._frames is None:
            self._frames = {}
        return self._frames

    def cool(self) -> None:
        """Forget what was derived: the event has been delivered, and is only kept for who comes late."""
        self._frames = None
        self.warm = False

    @property
    def type(self) -> str:
        """ADDED, MODIFIED or DELETED, as someone sees it who sees every object."""
        if self.deleted:
            return "DELETED"
        return "ADDED" if self.previous is None else "MODIFIED"
