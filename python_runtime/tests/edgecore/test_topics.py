"""Topics are read by position, whatever names devices and namespaces have."""

from __future__ import annotations

import pytest

from edgelab.protocol import topics


@pytest.mark.parametrize(
    ("topic", "device_id", "action"),
    [
        ("$hw/events/device/default/thermo/twin/update", "default/thermo", "twin/update"),
        ("$hw/events/device/device/events/state/update", "device/events", "state/update"),
        ("$hw/events/device/e/hw/twin/get", "e/hw", "twin/get"),
        ("$hw/events/device/thermo/twin/update", "thermo", "twin/update"),
    ],
)
def test_a_device_topic_names_device_and_action(topic: str, device_id: str, action: str) -> None:
    assert topics.device(topic) == (device_id, action)
    assert topics.of_device(device_id, action) == topic


@pytest.mark.parametrize(
    "topic",
    [
        "$hw/events/device/default/thermo/twin/update/result",
        "$hw/events/device//thermo/twin/update",
        "$hw/events/device/twin/update",
        "$hw/events/node/edge1/membership/get",
        "default/user/x",
    ],
)
def test_other_topics_are_no_device_requests(topic: str) -> None:
    assert topics.device(topic) is None


def test_a_node_topic_names_node_and_action() -> None:
    assert topics.node("$hw/events/node/edge1/membership/get") == ("edge1", "membership/get")
    assert topics.node("$hw/events/node/edge1/membership/get/result") is None
