"""Packets of a broker, however the network cuts them, and those that a client sends."""

from __future__ import annotations

import pytest

from edgelab.edgecore.eventbus import clientpackets
from edgelab.edgecore.eventbus.broker import packets
from edgelab.edgecore.eventbus.broker.packets import Malformed, Message
from edgelab.edgecore.eventbus.clientpackets import Packet, Stream

SMALL = packets.packet(Message("a/b", b"x" * 20), 1, 7)
LARGE = packets.packet(Message("a/big", b"y" * 5000), 1, 8)
ACK = packets.acknowledgement(packets.PUBACK, 9)


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 100, 4999, 100_000])
def test_packets_are_the_same_however_they_arrive(piece: int) -> None:
    data = SMALL + ACK + LARGE + SMALL
    stream = Stream(10_000)
    found = [p for at in range(0, len(data), piece) for p in stream.feed(data[at : at + piece])]
    assert [packets.publish(p.first, p.body)[0].topic for p in (found[0], found[2], found[3])] == [
        "a/b",
        "a/big",
        "a/b",
    ]
    assert found[1] == Packet(packets.PUBACK << 4, b"\0\x09", 2)


@pytest.mark.parametrize("piece", [1, 3, 64, 1000, 100_000])
def test_a_large_packet_passes_by_without_being_kept(piece: int) -> None:
    data = SMALL + LARGE + ACK + LARGE + SMALL
    stream = Stream(100)
    found = [p for at in range(0, len(data), piece) for p in stream.feed(data[at : at + piece])]
    assert [(len(p.body), p.size) for p in found] == [(27, 27), (100, 5009), (2, 2), (100, 5009), (27, 27)]
    published = clientpackets.published(found[1])
    assert (published.topic, published.number, published.size) == (b"a/big", 8, 5000)
    assert published.payload == b"y" * 91


def test_a_length_of_five_bytes_is_no_mqtt() -> None:
    with pytest.raises(Malformed, match="five bytes"):
        list(Stream(100).feed(b"\x30\xff\xff\xff\xff\x01"))


@pytest.mark.parametrize("body", [b"", b"\0", b"\0\x05ab", b"\0\1a\0", b"\0\1a\0\0"])
def test_a_message_that_ends_early_is_no_mqtt(body: bytes) -> None:
    with pytest.raises(Malformed):
        clientpackets.published(Packet(0x32, body, len(body)))


def test_what_a_client_sends_is_what_a_broker_reads() -> None:
    sent = clientpackets.connect("edge", 30, "user", "secret")
    sent += clientpackets.subscribe(5, ["a/+", "b/#"]) + clientpackets.unsubscribe(6, "a/+")
    sent += clientpackets.connect("", 0, "", "ignored without a user")
    login, wanted, unwanted, bare = Stream(1000).feed(sent)
    assert packets.connect(login.body) == packets.Connect("edge", True, 30, None, "user", b"secret")
    assert packets.subscribe(wanted.body) == (5, [("a/+", 1), ("b/#", 1)])
    assert packets.unsubscribe(unwanted.body) == (6, ["a/+"])
    assert packets.connect(bare.body) == packets.Connect("", True, 0, None, None, None)
