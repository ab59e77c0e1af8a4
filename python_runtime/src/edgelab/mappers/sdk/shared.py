"""What several devices use together, such as a connection: made for the first, closed after the last."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """Something to be closed."""

    async def close(self) -> None:
        """Close it."""


T = TypeVar("T", bound=Closable)


class Shared(Generic[T]):
    """Things by key, with the number of their users."""

    def __init__(self) -> None:
        self._things: dict[Hashable, tuple[T, int]] = {}

    def take(self, key: Hashable, make: Callable[[], T]) -> T:
        """The thing of this key; each call wants its `release`."""
        thing, users = self._things[key] if key in self._things else (make(), 0)
        self._things[key] = thing, users + 1
        return thing

    async def release(self, key: Hashable) -> None:
        """Let it go; the last user closes it."""
        thing, users = self._things[key]
        if users > 1:
            self._things[key] = thing, users - 1
            return
        del self._things[key]
        await thing.close()
