"""Messages that wait for a receiver which is slow or away, bounded in number and bytes.

When there is no room, an older message of the same topic gives way to the new one, so that the newest
value of everything stays as long as there is room for one message of each topic; else the oldest
message of all goes. A twin's document holds only what changed: it is not replaced but merged, so that
the newest value of every property of it stays.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import msgspec

from edgelab.edgecore.eventbus.broker.packets import Message
from edgelab.protocol import topics

_decoder = msgspec.json.Decoder(dict[str, Any])
_encoder = msgspec.json.Encoder()


class Backlog:
    """The queue. Messages leave it in the order in which they, or what they replaced last, came."""

    def __init__(self, messages: int, size: int) -> None:
        self._most = messages
        self._largest = size
        self._waiting: OrderedDict[int, Message] = OrderedDict()  # a dict finds its first key slowly
        self._newest: dict[str, int] = {}
        self._next = 0
        self._size = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, message: Message) -> int:
        """Append; returns how many messages were lost for it, replaced ones included."""
        lost = 0
        size = len(message.payload)
        while self._waiting and (len(self._waiting) >= self._most or self._size + size > self._largest):
            older = self._newest.get(message.topic)
            if older is None:
                self.pop()
            else:
                message = _joined(self._remove(older), message)
                size = len(message.payload)
            lost += 1
        if size > self._largest:
            return lost + 1
        self._waiting[self._next] = message
        self._newest[message.topic] = self._next
        self._next += 1
        self._size += size
        return lost

    def pop(self) -> Message:
        """Remove and return the oldest message."""
        return self._remove(next(iter(self._waiting)))

    def clear(self) -> None:
        """Forget everything."""
        self._waiting.clear()
        self._newest.clear()
        self._size = 0

    def _remove(self, number: int) -> Message:
        message = self._waiting.pop(number)
        if self._newest.get(message.topic) == number:
            del self._newest[message.topic]
        self._size -= len(message.payload)
        return message


def _joined(older: Message, newer: Message) -> Message:
    if not (newer.topic.startswith(topics.DEVICE) and newer.topic.endswith(topics.TWIN_UPDATE_DOCUMENT)):
        return newer
    try:
        old, new = _decoder.decode(older.payload), _decoder.decode(newer.payload)
        twin = dict(old["twin"])
        for name, change in new["twin"].items():
            before = twin[name]["last"] if name in twin else change["last"]
            twin[name] = {"last": before, "current": change["current"]}
    except (msgspec.DecodeError, RecursionError, KeyError, TypeError, AttributeError):
        return newer  # a client wrote it, not EdgeCore
    return newer._replace(payload=_encoder.encode(new | {"twin": twin}))
