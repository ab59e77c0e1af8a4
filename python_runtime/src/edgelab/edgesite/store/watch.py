"""A reader of the changes of one resource."""

from __future__ import annotations

import asyncio
from collections import deque

from edgelab.edgesite.store.entries import Event

MAX_EVENTS = 4096
MAX_BYTES = 16 << 20


class Overrun(Exception):
    """The reader was too slow: its backlog was dropped and it has to list again."""


class Ended(Exception):
    """The store is closing: there will be no more changes."""


class Watch:
    """A bounded backlog of events. A reader that falls behind by more than MAX_EVENTS or MAX_BYTES is
    cut off (`Overrun`) instead of holding memory: it lists anew, as after any other gap.
    """

    def __init__(self, bucket: str, namespace: str) -> None:
        self.bucket = bucket
        self.namespace = namespace
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._overrun = False
        self._ended = False

    def end(self) -> None:
        """Let the reader finish what it has, and then be told that this was all (called by the store)."""
        self._ended = True
        self._wake.set()

    def deliver(self, event: Event) -> None:
        """Take an event (called by the store, in order of revisions)."""
        if self._overrun or (self.namespace and event.entry.key.namespace != self.namespace):
            return
        self._events.append(event)
        self._bytes += len(event.entry.data)
        if len(self._events) > MAX_EVENTS or self._bytes > MAX_BYTES:
            self._overrun = True
            self._events.clear()
        self._wake.set()

    def prepend(self, events: list[Event]) -> None:
        """Put history in front of what has arrived since (called by the store, once)."""
        fitting = [e for e in events if not self.namespace or e.entry.key.namespace == self.namespace]
        self._events.extendleft(reversed(fitting))
        if fitting:
            self._wake.set()

    async def events(self, patience: float | None = None) -> list[Event]:
        """Everything that has arrived, waiting until there is something; empty when `patience` seconds
        bring nothing. Raises Overrun, or Ended.
        """
        while not self._events:
            if self._overrun:
                raise Overrun
            if self._ended:
                raise Ended
            self._wake.clear()
            if patience is None:  # most readers: a timeout costs more than the rest of a turn
                await self._wake.wait()
                continue
            try:
                async with asyncio.timeout(patience):
                    await self._wake.wait()
            except TimeoutError:
                return []
        events = list(self._events)
        self._events.clear()
        self._bytes = 0
        return events
