"""The committed objects, in memory: resource, namespace, name."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from edgelab.edgesite.store.entries import Entry, Key


class State:
    """Each key is there once: a new version takes the key of the one before it."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._buckets: dict[str, dict[str, dict[str, Entry]]] = {}
        for entry in entries:
            entry.key = shared(entry.key)
            self.put(entry)

    def get(self, key: Key) -> Entry | None:
        """One object."""
        return self._buckets.get(key.bucket, {}).get(key.namespace, {}).get(key.name)

    def put(self, entry: Entry) -> None:
        """Enter a version."""
        bucket, namespace, name = entry.key
        self._buckets.setdefault(bucket, {}).setdefault(namespace, {})[name] = entry

    def drop(self, key: Key) -> None:
        """Take an object out."""
        spaces = self._buckets.get(key.bucket, {})
        entries = spaces.get(key.namespace, {})
        entries.pop(key.name, None)
        if not entries:
            spaces.pop(key.namespace, None)

    def entries(self, bucket: str, namespace: str = "") -> Iterator[Entry]:
        """The objects of a resource, by namespace and name."""
        spaces = self._buckets.get(bucket, {})
        for space in (namespace,) if namespace else sorted(spaces):
            entries = spaces.get(space, {})
            for name in sorted(entries):
                yield entries[name]

    def counts(self) -> dict[str, int]:
        """Number of objects of each resource."""
        return {bucket: sum(map(len, spaces.values())) for bucket, spaces in self._buckets.items()}


def shared(key: Key) -> Key:
    """The key with its bucket and namespace as strings that other keys have, too."""
    return Key(sys.intern(key.bucket), sys.intern(key.namespace), key.name)
