from __future__ import annotations

import random

import pytest

from edgelab.edgecore.eventbus.broker import packets
from edgelab.edgecore.eventbus.broker.packets import Malformed, Message, Splitter

CONNECT = bytes.fromhex("0004 4d515454 04 02 003c 0001 61")


def split(data: bytes, chunk: int, maximum: int = 1000) -> list[tuple[int, bytes]]:
    splitter, found = Splitter(maximum), []
    for at in range(0, len(data), chunk):
        splitter.feed(data[at : at + chunk])
        while (packet := splitter.take()) is not None:
            found.append(packet)
    return found


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1000])
def test_a_stream_is_cut_into_packets_however_it_arrives(chunk: int) -> None:
    messages = [Message("t", b"x" * size, 1) for size in (0, 1, 120, 121, 122, 200, 900)]
    stream = b"".join(packets.packet(message, 1, 5) for message in messages) + packets.PONG
    *published, pong = split(stream, chunk)
    assert [packets.publish(*packet) for packet in published] == [(message, 5) for message in messages]
    assert pong == (0xD0, b"")


def test_a_packet_that_is_too_large_is_refused_at_its_header() -> None:
    with pytest.raises(Malformed, match="1001 bytes, 1000 are taken"):
        split(b"\x30\xe9\x07", 3)
    with pytest.raises(Malformed, match="five bytes"):
        split(b"\x30\xff\xff\xff\xff\x01", 6)


def test_what_came_before_a_broken_packet_is_still_delivered() -> None:
    splitter = Splitter(10)
    splitter.feed(packets.PONG + b"\x30\x7f")
    assert splitter.take() == (0xD0, b"")
    with pytest.raises(Malformed):
        splitter.take()


def test_connect_is_read_with_all_its_fields() -> None:
    body = bytes.fromhex("0004 4d515454 04 ee 000a 0001 61 0001 77 0002 6869 0001 75 0002 7077")
    found = packets.connect(body)
    assert found == packets.Connect("a", True, 10, Message("w", b"hi", 1, True), "u", b"pw")
    assert packets.connect(CONNECT) == packets.Connect("a", True, 60, None, None, None)
    older = bytes.fromhex("0006 4d5149736470 03 02 003c 0001 61")
    assert packets.connect(older).client_id == "a"


def test_another_version_of_mqtt_is_told_apart_from_nonsense() -> None:
    with pytest.raises(packets.WrongVersion, match=r"level 5; this broker speaks MQTT 3\.1\.1"):
        packets.connect(bytes.fromhex("0004 4d515454 05 02 003c 00 0001 61"))


@pytest.mark.parametrize(
    "body",
    [
        "",
        "0004 4d515454 04 03 003c 0001 61",  # the reserved flag
        "0004 4d515454 04 42 003c 0001 61 0001 70",  # a password without a name
        "0004 4d515454 04 1e 003c 0001 61 0001 77 0000",  # a will of QoS 3
        "0004 4d515454 04 06 003c 0001 61 0001 23 0000",  # a will on #
        "0004 4d515454 04 02 003c 0009 61",  # too short
        "0004 4d515454 04 02 003c 0002 fffe",  # no UTF-8
        "0004 4d515454 04 02 003c 0001 00",  # NUL
    ],
)
def test_a_connect_that_contradicts_itself_is_refused(body: str) -> None:
    with pytest.raises(Malformed):
        packets.connect(bytes.fromhex(body))


@pytest.mark.parametrize(
    ("first", "body"),
    [
        (0x36, "0001 61 0001"),  # QoS 3
        (0x30, "0000"),  # an empty topic
        (0x30, "0001 23"),  # #
        (0x30, "0001 2b"),  # +
        (0x30, "0001 00"),  # NUL
        (0x30, "0003 eda080"),  # a surrogate
        (0x30, "0009 61"),  # too short
        (0x30, "00"),
        (0x32, "0001 61 0000"),  # packet identifier 0
        (0x32, "0001 61 00"),
    ],
)
def test_a_publish_that_breaks_the_rules_is_refused(first: int, body: str) -> None:
    with pytest.raises(Malformed):
        packets.publish(first, bytes.fromhex(body))


def test_subscribe_and_unsubscribe_are_read_and_must_not_be_empty() -> None:
    assert packets.subscribe(bytes.fromhex("0007 0003 612f2b 01 0001 62 02")) == (7, [("a/+", 1), ("b", 2)])
    assert packets.unsubscribe(bytes.fromhex("0007 0001 62")) == (7, ["b"])
    for broken in ("0007", "0000 0001 61 01", "0007 0001 61 03", "0007 0001 61"):
        with pytest.raises(Malformed):
            packets.subscribe(bytes.fromhex(broken))
    with pytest.raises(Malformed):
        packets.unsubscribe(bytes.fromhex("0007"))


def test_answers_are_written_as_mqtt_defines_them() -> None:
    assert packets.connack(packets.BAD_VERSION) == bytes.fromhex("20020001")
    assert packets.connack(0, present=True) == bytes.fromhex("20020100")
    assert packets.acknowledgement(packets.PUBREL, 0x1234) == bytes.fromhex("62021234")
    assert packets.acknowledgement(packets.PUBACK, 1) == bytes.fromhex("40020001")
    assert packets.suback(2, [1, 0x80]) == bytes.fromhex("900400020180")
    assert packets.packet(Message("a", b"x", 0, True), 0) == bytes.fromhex("3104000161") + b"x"
    assert packets.packet(Message("a", b"x"), 2, 3, dup=True) == bytes.fromhex("3c060001610003") + b"x"


def test_no_bytes_whatever_raise_anything_but_malformed() -> None:
    samples = [
        (0x10, CONNECT),
        (0x10, bytes.fromhex("0004 4d515454 04 ee 000a 0001 61 0001 77 0002 6869 0001 75 0002 7077")),
        (0x32, bytes.fromhex("0003 612f62 0001 78")),
        (0x82, bytes.fromhex("0007 0003 612f2b 01 0001 62 02")),
        (0xA2, bytes.fromhex("0007 0001 62")),
    ]
    chance = random.Random(1)
    refused = 0
    for _ in range(5000):
        first, body = chance.choice(samples)
        damaged = bytearray(body)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        del damaged[chance.randrange(len(damaged) + 1) :]
        readers = {0x10: packets.connect, 0x82: packets.subscribe, 0xA2: packets.unsubscribe}
        try:
            if first == 0x32:
                packets.publish(first, bytes(damaged))
            else:
                readers[first](bytes(damaged))
        except Malformed:
            refused += 1
    assert 1000 < refused < 5000
