from __future__ import annotations

from edgelab.edgecore.eventbus.broker.packets import Message
from edgelab.edgecore.eventbus.broker.retained import LARGEST, MOST, Retained


def test_further_topics_are_refused_when_there_are_too_many_but_known_ones_get_their_newest() -> None:
    retained = Retained()
    assert all(retained.keep(Message(f"t/{number}", b"x")) for number in range(MOST))
    assert not retained.keep(Message("one/more", b"x"))
    assert retained.keep(Message("t/0", b"newer"))
    assert [message.payload for message in retained.match("t/0")] == [b"newer"]
    assert retained.keep(Message("t/1", b""))
    assert retained.keep(Message("one/more", b"x"))
    assert len(list(retained.match("+/+"))) == MOST


def test_bytes_are_bounded() -> None:
    retained = Retained()
    assert retained.keep(Message("a", bytes(LARGEST)))
    assert not retained.keep(Message("b", b"x"))
    assert not retained.keep(Message("a", bytes(LARGEST + 1)))
    assert retained.keep(Message("a", b"x"))
    assert retained.keep(Message("b", b"x"))


def test_topics_of_the_system_are_not_covered_by_a_wildcard() -> None:
    retained = Retained()
    retained.keep(Message("$hw/x", b"x"))
    assert list(retained.match("#")) == []
    assert len(list(retained.match("$hw/#"))) == 1
