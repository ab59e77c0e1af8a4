"""The edge's side of one connection: keepalives, requests and their answers, what is pushed.

Facts: KubeEdge `edge/pkg/edgehub` (docs/reference/protocol.md): the first message is a keepalive, and one
follows every `heartbeat`; a message with a parent is for whoever sent the parent, and for nobody else.
"""

from __future__ import annotations

from enum import Enum

from edgelab.protocol import message as wire
from edgelab.protocol.message import Message
from edgelab.protocol.session.sending import Bucket, SendQueue

HEARTBEAT = 15.0
DETAIL = "membership/detail"
"""The answer to this question is a push that has a parent."""


class Received(Enum):
    """What a message of the cloud is."""

    ANSWER = "answer"
    """To a request that waits for it: see `Message.parent_id`."""
    PUSH = "push"
    """For a module of the node, which acknowledges what it has stored."""
    STRAY = "stray"
    """An answer that nobody waits for, most often because it came too late."""


class EdgeSession:
    """One connection of a node, from the first keepalive to its end."""

    def __init__(self, bucket: Bucket, now: float, heartbeat: float = HEARTBEAT) -> None:
        self._queue = SendQueue(bucket)
        self._heartbeat = heartbeat
        self._beat = now
        self._awaited: set[str] = set()

    def send(self, message: Message) -> bool:
        """Queue a message; False when there is no room for one of its class."""
        return self._queue.offer(message)

    def expect(self, message_id: str) -> None:
        """Somebody waits for the answer to a message."""
        self._awaited.add(message_id)

    def forget(self, message_id: str) -> None:
        """Nobody waits for it any more."""
        self._awaited.discard(message_id)

    def receive(self, message: Message) -> Received:
        """What a message of the cloud is; an answer is awaited once."""
        if not message.parent_id:
            return Received.PUSH
        if message.parent_id in self._awaited:
            self._awaited.remove(message.parent_id)
            return Received.ANSWER
        return Received.PUSH if DETAIL in message.route.resource else Received.STRAY

    def next(self, now: float) -> Message | None:
        """The message that is to be sent now; None when none is."""
        if now >= self._beat:
            self._beat = now + self._heartbeat
            return keepalive()
        return self._queue.next(now)

    def next_due(self, now: float) -> float:
        """When `next` gives a message again, if nothing else happens."""
        delay = self._queue.delay(now)
        return self._beat if delay is None else min(self._beat, now + delay)


def keepalive() -> Message:
    """What tells the cloud that the node is there."""
    return wire.new(
        source="websocket", group="resource", operation="keepalive", resource="node", content="ping"
    )


def acknowledgement(message: Message) -> Message:
    """What tells the cloud that a push is stored."""
    return wire.reply(message, "OK")
