"""The queues of one session, with time passed in: order, repeats, rest, supersession, bounds."""

from __future__ import annotations

from typing import Any

import pytest

from edgelab.protocol import message as wire
from edgelab.protocol.message import Message
from edgelab.protocol.session import cloud as session
from edgelab.protocol.session.cloud import Outbox
from edgelab.protocol.session.delivery import Delivery, of_missing, of_object


def pod(name: str, version: int, operation: str = "update", **more: Any) -> Delivery:
    metadata = {
        "name": name,
        "namespace": "default",
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
    }
    return of_object({"kind": "Pod", "apiVersion": "v1", "metadata": metadata}, operation, **more)


def names(messages: list[Message]) -> list[tuple[str, str]]:
    return [(m.route.resource.rpartition("/")[2], m.header.resourceversion) for m in messages]


def test_the_next_object_waits_for_the_acknowledgement_of_the_first() -> None:
    box = Outbox()
    first = pod("a", 1)
    box.offer(first)
    box.offer(pod("b", 2))
    assert names(box.poll(0)) == [("a", "1")]
    assert box.poll(1) == []
    assert box.acknowledge(first.message.id) is first
    assert names(box.poll(1)) == [("b", "2")]


def test_an_unacknowledged_message_is_repeated_four_times_with_its_id_then_others_are_served() -> None:
    box = Outbox()
    box.offer(pod("a", 1))
    box.offer(pod("b", 2))
    sent = [message for second in range(25) for message in box.poll(second)]
    assert names(sent) == [("a", "1")] * 5
    assert len({message.id for message in sent}) == 1
    assert names(box.poll(25)) == [("b", "2")]


def test_a_given_up_object_comes_back_after_a_rest_that_grows() -> None:
    box = Outbox()
    box.offer(pod("a", 1))
    times = []
    now = 0.0
    while len(times) < 15:
        times += [now for _ in box.poll(now)]
        due = box.next_due()
        assert due is not None
        assert due > now
        now = due
    assert times == [0, 5, 10, 15, 20, 30, 35, 40, 45, 50, 65, 70, 75, 80, 85]


def test_a_refused_object_rests_while_the_next_is_sent_at_once() -> None:
    box = Outbox()
    bad = pod("a", 1)
    box.offer(bad)
    box.offer(pod("b", 2))
    box.poll(0)
    assert box.refuse(bad.message.id, 0) is bad
    assert names(box.poll(0)) == [("b", "2")]
    assert box.next_due() == 5


def test_a_newer_version_takes_the_place_of_the_one_that_waits() -> None:
    box = Outbox()
    busy = pod("x", 1)
    box.offer(busy)
    box.poll(0)
    box.offer(pod("a", 2))
    box.offer(pod("b", 3))
    assert box.offer(pod("a", 5))
    assert not box.offer(pod("a", 4))
    box.acknowledge(busy.message.id)
    box.window = 5
    assert names(box.poll(0)) == [("a", "5"), ("b", "3")]


def test_two_messages_about_one_object_are_never_on_their_way_together() -> None:
    box = Outbox(window=8)
    first = pod("a", 1)
    box.offer(first)
    box.poll(0)
    assert box.offer(pod("a", 2))
    assert box.poll(0) == []
    box.acknowledge(first.message.id)
    assert names(box.poll(0)) == [("a", "2")]


def test_nothing_follows_a_delete_of_the_same_object() -> None:
    box = Outbox()
    gone = of_missing("Pod", "v1", "default", "a", "uid-a")
    box.offer(pod("a", 1))
    assert box.offer(gone)
    assert not box.offer(pod("a", 9))
    assert not box.offer(of_missing("Pod", "v1", "default", "a", "uid-a"))
    assert [m.route.operation for m in box.poll(0)] == ["delete"]
    assert not box.offer(pod("a", 9))


def test_answers_do_not_wait_for_the_window_and_are_given_up_in_the_end() -> None:
    box = Outbox()
    box.offer(pod("a", 1))
    box.poll(0)
    box.offer(pod("cfg", 7, "response", parent_id="question"))
    assert names(box.poll(0)) == [("cfg", "7")]
    repeats = [m for second in range(1, 60) for m in box.poll(second) if m.parent_id]
    assert len(repeats) == 4


def test_acknowledgements_of_what_was_never_sent_do_nothing() -> None:
    box = Outbox()
    box.offer(pod("a", 1))
    assert box.acknowledge("unknown") is None
    assert box.acknowledge("") is None
    assert box.refuse("unknown", 0) is None


def test_full_queues_drop_the_oldest_message_and_refuse_further_objects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(session, "PLAIN", 2)
    monkeypatch.setattr(session, "OBJECTS", 2)
    box = Outbox()
    for number in range(3):
        box.offer_plain(wire.new(source="s", group="g", operation="o", resource=str(number)))
        box.offer(pod(f"p{number}", number + 1))
    assert box.dropped == 2
    assert [m.route.resource for m in box.poll(0)] == ["1", "2", "default/pod/p0"]
    assert box.offer(of_missing("Pod", "v1", "default", "z", "uid-z")), "a delete always finds room"
