"""Both ends of a connection driven by hand: keepalives, requests, answers, and a link that loses messages."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from edgelab.protocol import message as wire
from edgelab.protocol.message import Message
from edgelab.protocol.session.cloud import Heard, Outbox
from edgelab.protocol.session.delivery import of_object
from edgelab.protocol.session.edge import HEARTBEAT, EdgeSession, Received, acknowledgement
from edgelab.protocol.session.sending import BOUNDS, Bucket, Priority


def edge(now: float = 0, rate: float = 0, burst: int = 1) -> EdgeSession:
    return EdgeSession(Bucket(rate, burst, now), now)


def request(name: str = "s", source: str = "edged") -> Message:
    return wire.new(source=source, group="meta", operation="query", resource=f"default/secret/{name}")


def drained(session: EdgeSession, now: float) -> list[Message]:
    found = []
    while (message := session.next(now)) is not None:
        found.append(message)
    return found


def test_the_first_message_is_a_keepalive_and_one_follows_every_heartbeat() -> None:
    session = edge()
    sent = {now: [m.route.operation for m in drained(session, now)] for now in range(40)}
    assert {now: operations for now, operations in sent.items() if operations} == {
        0: ["keepalive"],
        15: ["keepalive"],
        30: ["keepalive"],
    }
    assert session.next_due(31) == 45


def test_an_answer_is_for_who_asked_and_only_once() -> None:
    session, asked = edge(), request()
    session.expect(asked.id)
    answer = wire.reply(asked, {"kind": "Secret"})
    assert session.receive(answer) is Received.ANSWER
    assert session.receive(answer) is Received.STRAY
    session.expect(asked.id)
    session.forget(asked.id)
    assert session.receive(answer) is Received.STRAY
    push = wire.new(source="edgecontroller", group="resource", operation="update", resource="default/pod/p")
    assert session.receive(push) is Received.PUSH
    detail = wire.new(source="x", group="twin", operation="x", resource="membership/detail", parent_id="q")
    assert session.receive(detail) is Received.PUSH


def test_the_rate_is_kept_and_told_ahead() -> None:
    session = edge(rate=10, burst=1)
    session.next(0)
    assert session.send(request("a"))
    assert session.send(request("b"))
    assert len(drained(session, 0)) == 1
    assert session.next_due(0) == pytest.approx(0.1)
    assert drained(session, 0.05) == []
    assert len(drained(session, 0.1001)) == 1
    assert session.next_due(1) == HEARTBEAT


def test_each_class_has_room_for_so_many() -> None:
    session = edge()
    room = BOUNDS[Priority.TWIN]
    twins = [session.send(request(source="twin")) for _ in range(room + 1)]
    assert twins == [True] * room + [False]
    assert session.send(request())


def test_the_cloud_tells_what_a_message_is_about() -> None:
    outbox = Outbox()
    delivery = of_object(pod("p", 1), "insert")
    outbox.offer(delivery)
    (sent,) = outbox.poll(0)
    assert outbox.receive(request(), 0) == (Heard.REQUEST, None, 0.0)
    failed = wire.new(source="metamanager", group="", operation="error", resource="x", parent_id=sent.id)
    assert outbox.receive(failed, 0) == (Heard.REFUSED, delivery, 0.0)
    assert outbox.receive(acknowledgement(sent), 0) == (Heard.STRAY, None, 0.0)
    (again,) = outbox.poll(5)
    assert outbox.receive(acknowledgement(again), 5.5) == (Heard.STORED, delivery, 0.5)
    keepalive = edge().next(0)
    assert keepalive is not None
    assert outbox.receive(keepalive, 5) == (Heard.KEEPALIVE, None, 0.0)
    assert len(outbox) == 0


def pod(name: str, version: int) -> dict[str, object]:
    metadata = {"name": name, "namespace": "default", "uid": name, "resourceVersion": str(version)}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}


@dataclass
class Link:
    """A node and its cloud, joined by a link that keeps the order and loses what `lost` says."""

    lost: Callable[[], bool]
    outbox: Outbox
    node: EdgeSession = field(default_factory=edge)
    stored: dict[str, int] = field(default_factory=dict)
    taken: int = 0

    def run(self, now: float) -> None:
        """Move what is due, until both ends are quiet."""
        moving = True
        while moving:
            moving = False
            for message in self.outbox.poll(now):
                moving = True
                if not self.lost():
                    self._push(wire.decode(wire.encode(message)))
            for message in drained(self.node, now):
                moving = True
                if not self.lost():
                    self.outbox.receive(wire.decode(wire.encode(message)), now)

    def _push(self, message: Message) -> None:
        assert self.node.receive(message) is Received.PUSH
        metadata = message.object()["metadata"]
        self.taken += 1
        version = int(metadata["resourceVersion"])
        assert version >= self.stored.get(metadata["name"], 0), "an older version came after a newer one"
        self.stored[metadata["name"]] = version
        assert self.node.send(acknowledgement(message))


@pytest.mark.parametrize("window", [1, 4, 16])
@pytest.mark.parametrize("seed", range(5))
def test_every_object_arrives_in_its_newest_version_over_a_bad_link(window: int, seed: int) -> None:
    chance = random.Random(seed)
    link = Link(lambda: chance.random() < 0.3, Outbox(window))
    newest: dict[str, int] = {}
    now, version = 0.0, 0
    while now < 2000 and (now < 60 or link.stored != newest or len(link.outbox)):
        if now < 60:
            version += 1
            name = f"pod-{chance.randrange(8)}"
            newest[name] = version
            link.outbox.offer(of_object(pod(name, version), "update"))
        link.run(now)
        now += 1
    assert link.stored == newest
    assert len(link.outbox) == 0
    assert link.outbox.repeated > 0


def test_a_good_link_needs_each_version_once() -> None:
    link = Link(lambda: False, Outbox(4))
    for number in range(100):
        link.outbox.offer(of_object(pod(f"pod-{number}", number + 1), "insert"))
        link.run(number / 10)
    assert (link.taken, link.outbox.repeated, len(link.outbox)) == (100, 0, 0)
