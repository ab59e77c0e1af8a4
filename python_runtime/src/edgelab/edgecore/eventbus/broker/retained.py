"""Messages that a new subscriber gets at once (MQTT 3.1.1, 3.3.1.3), bounded in number and bytes.

Overflow: a topic that has a message may always get a newer one; further topics are refused.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgelab.edgecore.eventbus import names
from edgelab.edgecore.eventbus.broker.packets import Message

MOST = 2048
LARGEST = 4 * 1024 * 1024


class Retained:
    """The last retained message of each topic."""

    def __init__(self) -> None:
        self._messages: dict[str, Message] = {}
        self._size = 0

    def keep(self, message: Message) -> bool:
        """Keep a message; an empty one removes the topic's. Returns False when there is no room."""
        older = self._messages.get(message.topic)
        size = self._size - (len(older.payload) if older else 0)
        if not message.payload:
            self._messages.pop(message.topic, None)
            self._size = size
            return True
        if size + len(message.payload) > LARGEST or (older is None and len(self._messages) >= MOST):
            return False
        self._messages[message.topic] = message
        self._size = size + len(message.payload)
        return True

    def match(self, pattern: str) -> Iterator[Message]:
        """Every message that a new subscription to `pattern` covers."""
        if "+" not in pattern and "#" not in pattern:
            if message := self._messages.get(pattern):
                yield message
            return
        for topic, message in self._messages.items():
            if names.matches(pattern, topic):
                yield message
