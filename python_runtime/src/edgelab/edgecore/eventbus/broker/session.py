"""What the broker keeps for one client: subscriptions, and messages under way (MQTT 3.1.1, 3.1.2.4 and 4.3).

No I/O: bytes leave through the `sink` of whoever is connected. A session whose client asked for it
outlives the connection, in memory.

Overflow: what a client does not take waits, up to the session's queue; then see `backlog`.
"""

from __future__ import annotations

from typing import Protocol

from edgelab.edgecore.eventbus.backlog import Backlog
from edgelab.edgecore.eventbus.broker import packets
from edgelab.edgecore.eventbus.broker.packets import PUBACK, PUBCOMP, PUBREC, PUBREL, Malformed, Message

WINDOW = 64
"""QoS 1 and 2 messages that may be under way to a client at a time."""

UNRELEASED = 256
"""QoS 2 messages from a client whose handshake may be open."""

QUEUE_BYTES = 512 * 1024
"""Bytes of payload that may wait for a client."""


class Sink(Protocol):
    """The connection of the session's client."""

    @property
    def writable(self) -> bool:
        """Whether the client takes what it is sent."""
        ...

    def send(self, data: bytes) -> None:
        """Send a packet, or part of one."""
        ...


class Session:
    """One client's state."""

    def __init__(self, client_id: str, user: str, *, clean: bool, queue: int) -> None:
        self.client_id = client_id
        self.user = user
        self.clean = clean
        self.filters: dict[str, int] = {}
        self.sink: Sink | None = None
        self.lost = 0
        self._queue = queue
        self._waiting = Backlog(queue, QUEUE_BYTES)
        self._under_way: dict[int, Message | None] = {}
        """By packet identifier; None once a QoS 2 message has been received and only awaits PUBCOMP."""
        self._unreleased: set[int] = set()
        self._number = 0

    @property
    def crowded(self) -> bool:
        """Whether so much waits that whoever publishes should pause, if the client is about to take it."""
        return len(self._waiting) * 2 >= self._queue

    @property
    def idle(self) -> bool:
        """Whether nothing waits."""
        return not self._waiting

    # To the client

    def deliver(self, message: Message, qos: int) -> None:
        """Send a message, or let it wait."""
        if message.qos != qos:
            message = message._replace(qos=qos)
        if self.sink is None and not qos:
            return  # kept for nobody: MQTT 3.1.1, 3.1.2.4
        if self._waiting or not self._ready(qos):
            self.lost += self._waiting.add(message)
        else:
            self._send(message)

    def go_on(self) -> None:
        """Send what waits, as far as the client takes it."""
        while self._waiting and self._ready(2):
            self._send(self._waiting.pop())

    def resume(self, sink: Sink) -> None:
        """A client came back: what was under way is sent again, then what waits."""
        self.sink = sink
        for number, message in self._under_way.items():
            if message is None:
                sink.send(packets.acknowledgement(PUBREL, number))
            else:
                sink.send(packets.packet(message, message.qos, number, dup=True))
        self.go_on()

    def acknowledged(self, kind: int, number: int) -> None:
        """Take PUBACK, PUBREC or PUBCOMP; an identifier of before the broker's restart is no error."""
        if kind == PUBREC:
            if number in self._under_way:
                self._under_way[number] = None
            self._answer(PUBREL, number)
            return
        self._under_way.pop(number, None)
        self.go_on()

    def _ready(self, qos: int) -> bool:
        return self.sink is not None and self.sink.writable and (not qos or len(self._under_way) < WINDOW)

    def _send(self, message: Message) -> None:
        number = 0
        if message.qos:
            number = self._next_number()
            self._under_way[number] = message
        if self.sink is not None:
            self.sink.send(packets.packet(message, message.qos, number))

    def _next_number(self) -> int:
        while True:
            self._number = self._number % 0xFFFF + 1
            if self._number not in self._under_way:
                return self._number

    # From the client

    def is_new(self, message: Message, number: int) -> bool:
        """Whether a message is to be distributed: one of QoS 2 is so once, however often it is sent."""
        if message.qos < 2:
            return True
        new = number not in self._unreleased
        if new and len(self._unreleased) >= UNRELEASED:
            raise Malformed(f"more than {UNRELEASED} messages of QoS 2 without PUBREL")
        self._unreleased.add(number)
        return new

    def confirm(self, message: Message, number: int) -> None:
        """Acknowledge a message that was distributed."""
        if message.qos:
            self._answer(PUBACK if message.qos == 1 else PUBREC, number)

    def released(self, number: int) -> None:
        """Take PUBREL."""
        self._unreleased.discard(number)
        self._answer(PUBCOMP, number)

    def _answer(self, kind: int, number: int) -> None:
        if self.sink is not None:
            self.sink.send(packets.acknowledgement(kind, number))
