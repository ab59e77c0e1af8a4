"""Whose request is carried out next, while more wait than the API server is asked at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from edgelab.daemon.clock import SYSTEM, Clock

PATIENCE_SECONDS = 5.0
"""So long those that are urgent go first, far less than the grace of a node that is silent: when thousands of
nodes register, each of them has a status and a lease to be written as well."""


class _Waiting(NamedTuple):
    turn: asyncio.Future[None]
    since: float


class Turns:
    """At most `limit` at a time, others in the order of their coming, those that are urgent first as long as
    nobody has waited for `PATIENCE_SECONDS`."""

    def __init__(self, limit: int, clock: Clock = SYSTEM) -> None:
        self._free = limit
        self._clock = clock
        self._urgent: deque[_Waiting] = deque()
        self._others: deque[_Waiting] = deque()

    async def take(self, *, urgent: bool) -> None:
        """Wait for a turn; `give` it back. Cancelled, it was never taken."""
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._urgent if urgent else self._others
        queue.append(_Waiting(turn, self._clock.monotonic()))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was given in the same moment
                self.give()
            raise

    def give(self) -> None:
        """End a turn."""
        while self._urgent or self._others:
            turn = self._next()
            if not turn.done():  # who was cancelled waits no more
                turn.set_result(None)
                return
        self._free += 1

    def _next(self) -> asyncio.Future[None]:
        if self._others and (not self._urgent or self._is_late(self._others[0])):
            return self._others.popleft().turn
        return self._urgent.popleft().turn

    def _is_late(self, waiting: _Waiting) -> bool:
        return self._clock.monotonic() - waiting.since >= PATIENCE_SECONDS
