"""What the fuzzer chooses, out of bytes that hypothesis draws.

The bytes are drawn at once: what a server answers, which depends on its clock too, changes what is
chosen next, and hypothesis wants to see the same draws again when it makes a failure small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from hypothesis import strategies as st

T = TypeVar("T")

STORIES = st.binary(min_size=700, max_size=2500)
ALPHABET = 'ab-./0~1 é\x00\u2028"\\$%{}[]:,\ufffe😀'


class Choices:
    """Chooses; always the first of everything when the bytes are used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def below(self, bound: int) -> int:
        at, self._at = self._at, self._at + 2
        return int.from_bytes(self._data[at : at + 2]) % bound

    def pick(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]

    def rarely(self, chance: int) -> bool:
        """Once in `chance`."""
        return self.below(chance) == chance - 1

    def text(self) -> str:
        return "".join(self.pick(ALPHABET) for _ in range(self.below(12)))

    def some(self, items: Sequence[T], most: int) -> list[T]:
        """Up to `most` of the items, in their order."""
        if not items:
            return []
        chosen = {self.below(len(items)) for _ in range(self.below(most + 1))}
        return [items[index] for index in sorted(chosen)]
