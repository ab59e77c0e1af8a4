"""What waits for the external broker while it is away or slow.

Values of twins (documents and deltas) wait however long it takes, the newest of each property. Everything
else, such as a command from the cloud, is worth something only when it comes soon: it waits for half a
minute.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from edgelab.daemon.clock import Clock
from edgelab.edgecore.eventbus.backlog import Backlog
from edgelab.edgecore.eventbus.broker.packets import Message
from edgelab.edgecore.eventbus.drops import Drops
from edgelab.protocol import topics

PATIENCE = 30.0
"""Seconds."""

MOST = 1024
LARGEST = 2 * 1024 * 1024
"""Messages and bytes that wait, of values and of other messages each."""

VALUES = (f"/{topics.TWIN_UPDATE_DOCUMENT}", f"/{topics.TWIN_UPDATE_DELTA}")


class _Waiting(NamedTuple):
    until: float
    message: Message


class Outgoing:
    """The queue. Other messages leave before values, so that a result precedes its document."""

    def __init__(self, clock: Clock, drops: Drops) -> None:
        self._clock = clock
        self._drops = drops
        self._values = Backlog(MOST, LARGEST)
        self._others: deque[_Waiting] = deque()
        self._size = 0

    def __len__(self) -> int:
        return len(self._values) + len(self._others)

    def add(self, message: Message) -> None:
        """Append; what there is no room for is counted."""
        if message.topic.startswith(topics.DEVICE) and message.topic.endswith(VALUES):
            if lost := self._values.add(message):
                self._drops.count("an older value of a twin gave way, the broker is away or slow", lost)
            return
        self._append(_Waiting(self._clock.monotonic() + PATIENCE, message))

    def _append(self, waiting: _Waiting) -> None:
        self._others.append(waiting)
        self._size += len(waiting.message.payload)
        while len(self._others) > MOST or (self._size > LARGEST and len(self._others) > 1):
            self._take_other()
            self._drops.count("a message is lost, too many wait for the broker")

    def put_back(self, messages: Iterable[Message]) -> None:
        """Take in again, before everything else, what did not get through."""
        values, others = self._values, self._others
        self._values, self._others, self._size = Backlog(MOST, LARGEST), deque(), 0
        for message in messages:
            self.add(message)
        for waiting in others:
            self._append(waiting)
        while len(values):
            self.add(values.pop())

    def pop(self) -> Message | None:
        """The next message that is still worth something."""
        now = self._clock.monotonic()
        while self._others:
            waiting = self._take_other()
            if waiting.until >= now:
                return waiting.message
            self._drops.count(f"a message is lost, the broker was away for {PATIENCE:.0f} s")
        return self._values.pop() if len(self._values) else None

    def _take_other(self) -> _Waiting:
        waiting = self._others.popleft()
        self._size -= len(waiting.message.payload)
        return waiting
