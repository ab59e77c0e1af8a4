"""Between objects and the disk: the store's `Transform` for an EncryptionConfiguration, or for none."""

from __future__ import annotations

from edgelab.daemon.errors import Fatal
from edgelab.edgesite.encryption.configuration import Rule
from edgelab.edgesite.encryption.guard import HINT, MARK, described
from edgelab.edgesite.encryption.providers import Identity, Provider, Undecipherable, prefix
from edgelab.edgesite.store.entries import Key

PLAIN = Identity()


class AtRest:
    """Encrypts by the first provider of the first rule that fits, decrypts by any of its providers.

    Called on the store's writer thread. Raises Fatal for what no provider can read: a site that starts
    without some of its Secrets would delete what belongs to them.
    """

    def __init__(self, rules: tuple[Rule, ...] = ()) -> None:
        self._rules = rules
        self._fitting: dict[str, tuple[Provider, ...]] = {}

    def to_disk(self, key: Key, data: bytes) -> bytes:
        """What to write for an object."""
        writer = self._providers(key.bucket)[0]
        if not writer.keys:
            return data
        first = writer.keys[0]
        return prefix(writer.name, first.name) + writer.encrypt(first, data, _context(key))

    def from_disk(self, key: Key, stored: bytes) -> bytes:
        """The object of what was read. Raises Fatal."""
        if not stored.startswith(MARK):
            return stored
        for provider in self._providers(key.bucket):
            for candidate in provider.keys:
                mark = prefix(provider.name, candidate.name)
                if stored.startswith(mark):
                    try:
                        return provider.decrypt(candidate, stored[len(mark) :], _context(key))
                    except Undecipherable:
                        continue  # another key may have had this name
        raise Fatal(f"{'/'.join(filter(None, key))} is encrypted by {described(stored)}; {HINT}")

    def is_current(self, key: Key, stored: bytes) -> bool:
        """Whether the bytes are what would be written today."""
        writer = self._providers(key.bucket)[0]
        if not writer.keys:
            return not stored.startswith(MARK)
        return stored.startswith(prefix(writer.name, writer.keys[0].name))

    def _providers(self, bucket: str) -> tuple[Provider, ...]:
        found = self._fitting.get(bucket)
        if found is None:
            group, _, plural = bucket.rpartition("/")
            fitting = (rule.providers for rule in self._rules if _fits(rule, group, plural))
            found = self._fitting[bucket] = next(fitting, (PLAIN,))
        return found


def _fits(rule: Rule, group: str, plural: str) -> bool:
    names = {f"{plural}.{group}" if group else plural, f"*.{group}", "*.*"}
    return any(name in names for name in rule.resources)


def _context(key: Key) -> bytes:
    """The place in the store, which authenticated ciphers bind a value to."""
    return "/".join(("/registry", *key)).encode()
