from __future__ import annotations

import pytest

from edgelab.edgecore.eventbus.broker import packets
from edgelab.edgecore.eventbus.broker.packets import PUBACK, PUBCOMP, PUBREC, PUBREL, Malformed, Message
from edgelab.edgecore.eventbus.broker.session import UNRELEASED, WINDOW, Session


class Wire:
    """A connection that keeps what it is told to send."""

    def __init__(self) -> None:
        self.writable = True
        self.sent: list[bytes] = []

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def published(self) -> list[tuple[Message, int]]:
        """What was published since the last time, as (message, packet identifier)."""
        sent, self.sent = self.sent, []
        return [packets.publish(data[0], data[2:]) for data in sent if data[0] >> 4 == packets.PUBLISH]


def session(wire: Wire | None = None, *, queue: int = 10) -> Session:
    made = Session("c", "u", clean=False, queue=queue)
    if wire:
        made.resume(wire)
    return made


def payloads(wire: Wire) -> list[bytes]:
    return [message.payload for message, _ in wire.published()]


def test_a_window_of_acknowledged_messages_is_under_way_and_the_rest_waits() -> None:
    wire = Wire()
    client = session(wire, queue=500)
    for number in range(WINDOW + 2):
        client.deliver(Message("t", b"%d" % number, 1), 1)
    sent = wire.published()
    assert len(sent) == WINDOW
    assert len({number for _, number in sent}) == WINDOW
    client.acknowledged(PUBACK, sent[0][1])
    assert payloads(wire) == [b"%d" % WINDOW]


def test_a_client_that_does_not_take_bytes_gets_the_newest_of_each_topic() -> None:
    wire = Wire()
    client = session(wire, queue=4)
    wire.writable = False
    for value in range(100):
        for topic in "ab":
            client.deliver(Message(topic, b"%d" % value), 0)
    assert client.crowded
    assert client.lost == 196
    wire.writable = True
    client.go_on()
    newest = {message.topic: message.payload for message, _ in wire.published()}
    assert newest == {"a": b"99", "b": b"99"}
    assert client.idle


def test_an_absent_client_is_kept_acknowledged_messages_and_no_others() -> None:
    client = session()
    client.deliver(Message("t", b"0"), 0)
    client.deliver(Message("t", b"1", 1), 1)
    wire = Wire()
    client.resume(wire)
    assert payloads(wire) == [b"1"]


def test_what_was_under_way_is_sent_again_with_its_identifier_to_a_client_that_comes_back() -> None:
    first, second = Wire(), Wire()
    client = session(first)
    client.deliver(Message("t", b"1", 1), 1)
    client.deliver(Message("t", b"2", 2), 2)
    numbers = [number for _, number in first.published()]
    client.acknowledged(PUBREC, numbers[1])
    assert first.sent == [packets.acknowledgement(PUBREL, numbers[1])]
    client.sink = None
    client.resume(second)
    assert second.sent == [
        packets.packet(Message("t", b"1"), 1, numbers[0], dup=True),
        packets.acknowledgement(PUBREL, numbers[1]),
    ]
    client.acknowledged(PUBACK, numbers[0])
    client.acknowledged(PUBCOMP, numbers[1])
    third = Wire()
    client.resume(third)
    assert third.sent == []


def test_a_message_of_qos_2_is_new_once_until_it_is_released() -> None:
    wire = Wire()
    client = session(wire)
    message = Message("t", b"x", 2)
    assert [client.is_new(message, 7) for _ in range(3)] == [True, False, False]
    client.confirm(message, 7)
    client.released(7)
    assert wire.sent == [packets.acknowledgement(PUBREC, 7), packets.acknowledgement(PUBCOMP, 7)]
    assert client.is_new(message, 7)


def test_a_client_that_never_releases_is_refused_in_the_end() -> None:
    client = session(Wire())
    for number in range(1, UNRELEASED + 1):
        assert client.is_new(Message("t", b"", 2), number)
    with pytest.raises(Malformed):
        client.is_new(Message("t", b"", 2), UNRELEASED + 1)


def test_unknown_acknowledgements_do_no_harm() -> None:
    wire = Wire()
    client = session(wire)
    client.acknowledged(PUBACK, 9)
    client.acknowledged(PUBCOMP, 9)
    client.acknowledged(PUBREC, 9)
    assert wire.sent == [packets.acknowledgement(PUBREL, 9)]
