from __future__ import annotations

import pytest

from edgelab.edgecore.eventbus import names
from edgelab.edgecore.eventbus.broker.tree import Tree

COVERED = [
    ("a/b", "a/b"),
    ("a/+", "a/b"),
    ("a/+", "a/"),
    ("a/#", "a"),
    ("a/#", "a/b/c"),
    ("#", "a/b"),
    ("+/+", "/b"),
    ("/+", "/b"),
    ("$hw/#", "$hw/events/x"),
    ("$hw/events/device/+/+/twin/+", "$hw/events/device/default/thermo/twin/update"),
    ("+/user/#", "default/user"),
]
NOT_COVERED = [
    ("a/b", "a/b/c"),
    ("a/+", "a"),
    ("a/+", "a/b/c"),
    ("+", "/b"),
    ("#", "$hw/events"),
    ("+/events", "$hw/events"),
    ("$hw/events/device/+/+/twin/+", "$hw/events/device/default/thermo/twin/update/result"),
]


@pytest.mark.parametrize(("pattern", "topic"), COVERED)
def test_a_filter_covers_what_mqtt_says(pattern: str, topic: str) -> None:
    tree: Tree[str] = Tree()
    tree.add(pattern, "someone", 1)
    assert names.matches(pattern, topic)
    assert tree.match(topic) == {"someone": 1}


@pytest.mark.parametrize(("pattern", "topic"), NOT_COVERED)
def test_and_nothing_else(pattern: str, topic: str) -> None:
    tree: Tree[str] = Tree()
    tree.add(pattern, "someone", 1)
    assert not names.matches(pattern, topic)
    assert tree.match(topic) == {}


def test_who_subscribes_twice_is_found_once_with_the_higher_qos() -> None:
    tree: Tree[str] = Tree()
    tree.add("a/#", "one", 0)
    tree.add("a/b", "one", 2)
    assert tree.match("a/b") == {"one": 2}
    tree.remove("a/b", "one")
    assert tree.match("a/b") == {"one": 0}
    tree.remove("a/#", "one")
    tree.remove("never/there", "one")
    assert tree.match("a/b") == {}


@pytest.mark.parametrize("topic", ["", "a/+", "#", "a\0b", "x" * 65535, "/" * 64, "ü" * 513])
def test_what_cannot_be_published_on_is_refused_with_a_reason(topic: str) -> None:
    assert names.name_problem(topic)


@pytest.mark.parametrize("pattern", ["", "a#", "#/a", "a/#/b", "a+/b", "+a", "a\0b", "x" * 1025])
def test_what_cannot_be_subscribed_to_is_refused_with_a_reason(pattern: str) -> None:
    assert names.filter_problem(pattern)


@pytest.mark.parametrize("topic", ["Raum/Küche/°C", "a//b", "/", " ", "$SYS/x", "数据/温度"])
def test_unusual_topics_are_allowed(topic: str) -> None:
    assert not names.name_problem(topic)
    assert not names.filter_problem(topic)
