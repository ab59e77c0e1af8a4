"""Messages on a stream of bytes: any cut, the limit, and that a sender never runs far ahead."""

from __future__ import annotations

import pytest

from edgelab.protocol.session import opening
from edgelab.protocol.session.stream import AHEAD, LARGEST, MessageStream, StreamError, TooLarge

MESSAGES = [b"one", b"", b"x" * 70_000, b"last"]


def taken(end: MessageStream) -> list[bytes]:
    found: list[bytes] = []
    while (message := end.take()) is not None:
        found.append(message)
    return found


@pytest.mark.parametrize("size", [1, 3, 4, 1200, 1 << 20])
def test_messages_survive_any_cut(size: int) -> None:
    one, other = MessageStream(), MessageStream()
    wire = b"".join(one.frame(message) for message in MESSAGES)
    for start in range(0, len(wire), size):
        other.feed(wire[start : start + size])
    assert taken(other) == MESSAGES


def test_a_message_of_the_limit_is_taken_and_one_byte_more_is_refused_before_it_comes() -> None:
    end = MessageStream(limit=10)
    end.feed((10).to_bytes(4, "big") + b"x" * 10)
    assert taken(end) == [b"x" * 10]
    with pytest.raises(TooLarge, match="11 bytes is more than 10"):
        end.feed((11).to_bytes(4, "big"))


@pytest.mark.parametrize("size", [10, AHEAD // 3, AHEAD // 2, AHEAD, AHEAD + 1, 3 * AHEAD])
def test_a_sender_is_stopped_and_goes_on_with_the_receipts(size: int) -> None:
    sender, reader = MessageStream(), MessageStream()
    moved, unread = 0, 0
    for _ in range(max(20, 4 * AHEAD // size)):
        while not sender.may_send:
            assert reader.take() is not None, "the sender waits for a receipt that does not come"
            unread -= size + 4
            if receipt := reader.receipt():
                sender.feed(receipt)
        reader.feed(sender.frame(bytes(size)))
        moved, unread = moved + size, unread + size + 4
        assert unread <= AHEAD + size + 4
    assert moved > AHEAD


@pytest.mark.parametrize("length", [0, 1000])
def test_who_ignores_the_receipts_is_found_out(length: int) -> None:
    reader = MessageStream(limit=length)
    message = length.to_bytes(4, "big") + bytes(length)
    fed = 0
    while fed <= AHEAD:
        reader.feed(message)
        fed += len(message)
    with pytest.raises(StreamError, match="without a receipt"):
        reader.feed(message * 2)


def test_a_receipt_for_more_than_was_sent_breaks_the_rules() -> None:
    end = MessageStream()
    end.frame(b"abc")
    with pytest.raises(StreamError, match="receipt for 8 bytes"):
        end.feed(((1 << 31) | 8).to_bytes(4, "big"))


def test_a_message_that_no_length_can_say_is_refused() -> None:
    class Huge(bytes):
        def __len__(self) -> int:
            return LARGEST + 1

    with pytest.raises(TooLarge):
        MessageStream().frame(Huge())


def test_opening_messages_are_read_as_they_were_written() -> None:
    proof = opening.Proof([b"\x30\x00", b"\xff"], b"\x01\x02")
    assert opening.read(opening.written(proof), opening.Proof) == proof
    assert opening.headers(b'{"Node_id": "edge1"}') == {"node_id": "edge1"}


@pytest.mark.parametrize("frame", [b"", b"\xff", b"[]", b'{"node_id": 1}', b"[" * 5000])
def test_what_is_no_opening_message_is_said_so(frame: bytes) -> None:
    with pytest.raises(opening.OpeningError, match="no opening message"):
        opening.headers(frame)


def test_a_statement_differs_for_each_nonce_and_each_server() -> None:
    found = {opening.statement(nonce, server) for nonce in (b"1" * 32, b"2" * 32) for server in (b"a", b"b")}
    assert len(found) == 4
