"""HPACK against another implementation of it, and against blocks that are wrong."""

from __future__ import annotations

import random
import string

import hpack as other
import pytest

from edgelab.cri.grpc import hpack
from edgelab.cri.grpc.hpack import HpackError


def test_every_octet_is_read_from_a_huffman_text() -> None:
    value = bytes(range(256))
    block = other.Encoder().encode([(b"name", value)], huffman=True)
    assert hpack.Decoder().decode(block) == [(b"name", value)]


def test_blocks_of_another_encoder_are_read_while_its_table_fills_and_shrinks() -> None:
    dice = random.Random(7)
    encoder, decoder = other.Encoder(), hpack.Decoder()
    names = [b":status", b"content-type", b"grpc-status", b"grpc-message", b"x-" + b"n" * 200]
    for turn in range(500):
        if turn % 50 == 49:
            encoder.header_table_size = dice.choice([0, 64, 500, 4096])
        headers = [
            (dice.choice(names), "".join(dice.choices(string.printable, k=dice.randrange(120))).encode())
            for _ in range(dice.randrange(8))
        ]
        block = encoder.encode(headers, huffman=dice.random() < 0.7)
        assert decoder.decode(block) == headers


def test_what_is_written_is_read_by_another_decoder() -> None:
    headers = [(b":path", b"/a/B"), (b"grpc-timeout", b"9m"), (b"long", b"x" * 5000)]
    assert [
        (name, value) for name, value in other.Decoder().decode(hpack.encode(headers), raw=True)
    ] == headers


def test_the_static_table_is_the_one_of_the_rfc() -> None:
    blocks = bytes(0x80 | index for index in range(1, 62))
    assert hpack.Decoder().decode(blocks) == list(other.hpack.HeaderTable.STATIC_TABLE)


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (b"\x80", "header 0"),
        (b"\xbe", "no table has"),  # entry 62 of an empty dynamic table
        (b"\x40\x05abc", "ends early"),
        (b"\x00\x85\xff", "ends early"),
        (b"\x00\x84\xff\xff\xff\xff\x00", "an end inside"),
        (b"\x00\x81\x00\x00", "within a symbol"),
        (b"\xff\xff\xff\xff\xff\xff\xff", "no end"),
        (b"\x3f\xe2\x1f", "4097 octets"),
    ],
)
def test_a_wrong_block_is_refused(block: bytes, words: str) -> None:
    with pytest.raises(HpackError, match=words):
        hpack.Decoder().decode(block)
