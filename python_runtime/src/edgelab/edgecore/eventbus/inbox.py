"""What arrived over MQTT and waits for DeviceTwin or EdgeHub."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

MOST = 256
"""Messages that may wait; then nothing more is read from MQTT until half of them are gone."""


class Inbox:
    """A queue that does not drop: whoever fills it is told to stop, and when to go on."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._arrived = asyncio.Event()
        self._blocked: list[Callable[[], None]] = []

    def put(self, topic: str, payload: bytes) -> None:
        """Append. A caller that finds it `full` afterwards must stop."""
        self._waiting.append((topic, payload))
        self._arrived.set()

    @property
    def full(self) -> bool:
        """Whether nothing more should be put in."""
        return len(self._waiting) >= MOST

    def when_free(self, go_on: Callable[[], None]) -> None:
        """Call `go_on` once there is room."""
        self._blocked.append(go_on)

    async def get(self) -> tuple[str, bytes]:
        """The oldest message."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        message = self._waiting.popleft()
        if self._blocked and len(self._waiting) <= MOST // 2:
            blocked, self._blocked = self._blocked, []
            for go_on in blocked:
                go_on()
        return message
