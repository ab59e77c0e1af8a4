from __future__ import annotations

import json
import logging

import pytest
from tests.edgecore.edged.samples import HandClock

from edgelab.edgecore.eventbus.backlog import Backlog
from edgelab.edgecore.eventbus.broker.packets import Message
from edgelab.edgecore.eventbus.drops import Drops

DOCUMENT = "$hw/events/device/default/thermo/twin/update/document"


def drained(backlog: Backlog) -> list[tuple[str, bytes]]:
    messages = [backlog.pop() for _ in range(len(backlog))]
    return [(message.topic, message.payload) for message in messages]


def document(event: str, **values: tuple[str | None, str]) -> bytes:
    twin = {name: {"last": last, "current": current} for name, (last, current) in values.items()}
    return json.dumps({"event_id": event, "timestamp": 1, "twin": twin}).encode()


def test_what_fits_stays_in_order() -> None:
    backlog = Backlog(3, 100)
    assert [backlog.add(Message(topic, b"1")) for topic in "aba"] == [0, 0, 0]
    assert drained(backlog) == [("a", b"1"), ("b", b"1"), ("a", b"1")]


def test_a_full_queue_gives_up_an_older_message_of_the_topic_before_the_oldest_of_all() -> None:
    backlog = Backlog(2, 100)
    backlog.add(Message("rare", b"1"))
    lost = [backlog.add(Message("busy", str(value).encode())) for value in range(5)]
    assert lost == [0, 1, 1, 1, 1]
    assert drained(backlog) == [("rare", b"1"), ("busy", b"4")]
    for topic in "abc":
        backlog.add(Message(topic, b""))
    assert [topic for topic, _ in drained(backlog)] == ["b", "c"]


def test_bytes_are_bounded_too() -> None:
    backlog = Backlog(100, 10)
    backlog.add(Message("a", b"x" * 6))
    assert backlog.add(Message("b", b"x" * 6)) == 1
    assert backlog.add(Message("c", b"x" * 11)) == 2
    assert len(backlog) == 0
    backlog.add(Message("d", b"x" * 10))
    assert len(backlog) == 1


def test_documents_of_a_twin_are_merged_so_that_every_propertys_newest_value_stays() -> None:
    backlog = Backlog(1, 1000)
    backlog.add(Message(DOCUMENT, document("1", t=(None, "1"), h=("5", "6"))))
    assert backlog.add(Message(DOCUMENT, document("2", t=("1", "2")))) == 1
    merged = json.loads(backlog.pop().payload)
    assert merged["event_id"] == "2"
    assert merged["twin"] == {"t": {"last": None, "current": "2"}, "h": {"last": "5", "current": "6"}}


@pytest.mark.parametrize(
    "nonsense", [b"{", b"[]", b'{"twin":null}', b'{"twin":{"t":1}}', b"\xff", b'{"a":' * 9999]
)
def test_what_is_no_document_on_a_documents_topic_is_replaced(nonsense: bytes) -> None:
    backlog = Backlog(1, 100_000)
    backlog.add(Message(DOCUMENT, nonsense))
    newer = document("2", t=("1", "2"))
    backlog.add(Message(DOCUMENT, newer))
    assert backlog.pop().payload == newer


def test_losses_are_logged_at_once_and_then_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = HandClock()
    drops = Drops(clock)
    with caplog.at_level(logging.WARNING):
        for _ in range(1000):
            drops.count("a message is lost")
        assert [record.getMessage() for record in caplog.records] == ["MQTT: a message is lost"]
        clock.moment += 60
        drops.count("a message is lost")
    lines = [record.getMessage() for record in caplog.records][1:]
    assert lines == ["MQTT: a message is lost (999 more times)", "MQTT: a message is lost"]
