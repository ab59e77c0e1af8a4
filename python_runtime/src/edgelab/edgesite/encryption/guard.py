"""The store's `Transform` of a site without encryption; needs no ciphers."""

from __future__ import annotations

from edgelab.daemon.errors import Fatal
from edgelab.edgesite.store.entries import Key

MARK = b"k8s:enc:"
"""What no JSON begins with, and everything does that is encrypted."""
HINT = "give the file with its key by --encryption-provider-config"


class Unencrypted:
    """Writes JSON as it is, and refuses to start with what is encrypted. Raises Fatal."""

    def to_disk(self, key: Key, data: bytes) -> bytes:
        """The same."""
        return data

    def from_disk(self, key: Key, stored: bytes) -> bytes:
        """The same, if it is no secret of another configuration."""
        if stored.startswith(MARK):
            raise Fatal(f"{'/'.join(filter(None, key))} is encrypted by {described(stored)}; {HINT}")
        return stored


def described(stored: bytes) -> str:
    """Which provider and key encrypted something, for messages."""
    if not stored.startswith(MARK):
        return "identity"
    parts = stored[len(MARK) :].split(b":", 3)
    return f"{parts[0].decode(errors='replace')} with key {parts[2].decode(errors='replace')!r}"
