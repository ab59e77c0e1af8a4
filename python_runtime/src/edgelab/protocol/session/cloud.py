"""The cloud's side of one connection: what waits for the node, what is on its way, when to repeat it.

Facts: KubeEdge `cloud/pkg/cloudhub/session` (docs/reference/protocol.md): a message that needs an
acknowledgement is sent again every 5 s, four times; at 25 s it is given up for now and goes back.
The original has one such message on its way for a node; so has a node here that does not ask for
more by the handshake header `edgelab-window`. Two messages about one object are never on their way
together, so order per object holds with any window.

Bounds: `OBJECTS` waiting objects (newest version each; beyond, new ones are refused, and
SyncController brings them later), `PLAIN` unacknowledged messages (the oldest is dropped).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from edgelab.protocol.message import Message
from edgelab.protocol.session.delivery import RESPONSE, Delivery

REPEAT_SECONDS = 5.0
SENDS = 5
OBJECTS = 16384
PLAIN = 2048
FIRST_REST, LONGEST_REST = 5.0, 300.0
"""How long an object rests that the node refused or never acknowledged, before it is tried again."""


class Heard(Enum):
    """What a message of a node is."""

    KEEPALIVE = "keepalive"
    STORED = "stored"
    """The acknowledgement of a delivery."""
    REFUSED = "refused"
    """The node could not store a delivery."""
    STRAY = "stray"
    """An acknowledgement of what is not, or no more, under way."""
    REQUEST = "request"
    """For a controller."""


class Reception(NamedTuple):
    """A message of a node, the delivery that it is about, and how long ago that was first sent (seconds)."""

    what: Heard
    delivery: Delivery | None = None
    seconds: float = 0.0


@dataclass(slots=True)
class _Waiting:
    delivery: Delivery
    not_before: float = 0.0
    failures: int = 0


@dataclass(slots=True)
class _Flight:
    delivery: Delivery
    began: float
    due: float
    sends: int = 1
    failures: int = 0


class Outbox:
    """The queues of one session. All times are seconds of one monotonic clock, passed in."""

    __slots__ = (
        "_answers",
        "_busy",
        "_flights",
        "_plain",
        "_waiting",
        "dropped",
        "repeated",
        "window",
    )

    def __init__(self, window: int = 1) -> None:
        self.window = max(1, window)
        self.dropped = 0
        self.repeated = 0
        # Lists: an empty deque takes 700 bytes, and almost all of thousands of outboxes are empty.
        self._plain: list[Message] = []
        self._answers: list[Delivery] = []
        self._waiting: dict[str, _Waiting] = {}
        self._flights: dict[str, _Flight] = {}
        self._busy: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._plain) + len(self._answers) + len(self._waiting) + len(self._flights)

    def offer_plain(self, message: Message) -> None:
        """Queue a message that is sent once."""
        if len(self._plain) >= PLAIN:
            del self._plain[0]
            self.dropped += 1
        self._plain.append(message)

    def offer(self, delivery: Delivery) -> bool:
        """Queue an object; False when there is nothing to do (a newer one is queued) or no room."""
        if delivery.is_response:
            self._answers.append(delivery)
            return True
        if self._supersedes(delivery):
            return False
        known = self._waiting.get(delivery.uid)
        if known is not None:
            self._waiting[delivery.uid] = _Waiting(delivery, failures=known.failures)
            return True
        if len(self._waiting) >= OBJECTS and not delivery.is_delete:
            self.dropped += 1
            return False
        self._waiting[delivery.uid] = _Waiting(delivery)
        return True

    def poll(self, now: float) -> list[Message]:
        """Everything that is to be sent now, in order."""
        out, self._plain = self._plain, []
        if self._flights:
            self._repeat(now, out)
        answers, self._answers = self._answers, []
        for answer in answers:
            # Answers do not wait for the window: somebody at the edge is waiting for them.
            self._launch(answer, now, out)
        self._fill(now, out)
        return out

    def next_due(self) -> float | None:
        """When `poll` has something to do again, if nothing else happens."""
        times = [flight.due for flight in self._flights.values()]
        if len(self._busy) < self.window:
            times += [
                w.not_before for uid, w in self._waiting.items() if w.not_before and uid not in self._busy
            ]
        return min(times, default=None)

    def receive(self, message: Message, now: float) -> Reception:
        """Take note of a message of the node; requests are the caller's to answer."""
        operation = message.route.operation
        if operation == "keepalive":
            return Reception(Heard.KEEPALIVE)
        if operation == RESPONSE:
            flight = self._land(message.parent_id)
            if flight is None:
                return Reception(Heard.STRAY)
            return Reception(Heard.STORED, flight.delivery, now - flight.began)
        if operation == "error":
            delivery = self.refuse(message.parent_id, now)
            return Reception(Heard.REFUSED if delivery else Heard.STRAY, delivery)
        return Reception(Heard.REQUEST)

    def acknowledge(self, message_id: str) -> Delivery | None:
        """The node has stored a message; gives it when it was on its way."""
        flight = self._land(message_id)
        return flight.delivery if flight else None

    def refuse(self, message_id: str, now: float) -> Delivery | None:
        """The node could not store a message: it rests, while others are served."""
        flight = self._land(message_id)
        if flight is None:
            return None
        self._rest(flight, now)
        return flight.delivery

    def _supersedes(self, delivery: Delivery) -> bool:
        """Whether what is queued or on its way makes `delivery` superfluous."""
        waiting = self._waiting.get(delivery.uid)
        flying = self._busy.get(delivery.uid)
        queued = [waiting.delivery] if waiting else []
        if flying is not None:
            queued.append(self._flights[flying].delivery)
        for known in queued:
            if known.is_delete or (not delivery.is_delete and known.version >= delivery.version):
                return True
        return False

    def _repeat(self, now: float, out: list[Message]) -> None:
        for message_id, flight in [(m, f) for m, f in self._flights.items() if f.due <= now]:
            if flight.sends >= SENDS:
                self._land(message_id)
                self._rest(flight, now)
                continue
            flight.sends += 1
            flight.due = now + REPEAT_SECONDS
            self.repeated += 1
            out.append(flight.delivery.message)

    def _fill(self, now: float, out: list[Message]) -> None:
        if len(self._busy) >= self.window or not self._waiting:
            return
        ready = []
        for uid, waiting in self._waiting.items():
            if waiting.not_before <= now and uid not in self._busy:
                ready.append(uid)
                if len(self._busy) + len(ready) >= self.window:
                    break
        for uid in ready:
            waiting = self._waiting.pop(uid)
            self._launch(waiting.delivery, now, out, waiting.failures)

    def _launch(self, delivery: Delivery, now: float, out: list[Message], failures: int = 0) -> None:
        message_id = delivery.message.id
        self._flights[message_id] = _Flight(delivery, now, now + REPEAT_SECONDS, failures=failures)
        if not delivery.is_response:
            self._busy[delivery.uid] = message_id
        out.append(delivery.message)

    def _land(self, message_id: str) -> _Flight | None:
        flight = self._flights.pop(message_id, None)
        if flight is not None and not flight.delivery.is_response:
            self._busy.pop(flight.delivery.uid, None)
        return flight

    def _rest(self, flight: _Flight, now: float) -> None:
        """Back to the queue's end, unless a newer message about the object waits there already."""
        uid = flight.delivery.uid
        if flight.delivery.is_response or uid in self._waiting:
            return
        failures = flight.failures + 1
        rest = min(LONGEST_REST, FIRST_REST * 2 ** (failures - 1))
        self._waiting[uid] = _Waiting(flight.delivery, now + rest, failures)
