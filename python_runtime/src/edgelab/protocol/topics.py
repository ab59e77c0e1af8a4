"""The MQTT topics of devices and nodes (KubeEdge `edge/pkg/devicetwin/dtcommon`).

Identity is read by position, so that a namespace called `device` or `events` is no trouble. A device
id has two segments, `<namespace>/<name>`, since KubeEdge 1.17; clients of earlier releases send one.
"""

from __future__ import annotations

from typing import NamedTuple

DEVICE = "$hw/events/device/"
NODE = "$hw/events/node/"

LONGEST = 512
"""Characters: a namespace has 63 at most, a name 253; an answer's topic is longer than its request's."""

TWIN_UPDATE = "twin/update"
TWIN_UPDATE_RESULT = "twin/update/result"
TWIN_UPDATE_DOCUMENT = "twin/update/document"
TWIN_UPDATE_DELTA = "twin/update/delta"
TWIN_GET = "twin/get"
TWIN_GET_RESULT = "twin/get/result"
TWIN_CLOUD_UPDATED = "twin/cloud_updated"
STATE_UPDATE = "state/update"
STATE_UPDATE_RESULT = "state/update/result"
MEMBERSHIP_GET = "membership/get"
MEMBERSHIP_GET_RESULT = "membership/get/result"
MEMBERSHIP_UPDATED = "membership/updated"

SUBSCRIPTIONS = (
    "$hw/events/upload/#",
    "$hw/events/device/+/+/state/update",
    "$hw/events/device/+/+/twin/+",
    "$hw/events/device/+/state/update",
    "$hw/events/device/+/twin/+",
    "$hw/events/node/+/membership/get",
    "SYS/dis/upload_records",
    "+/user/#",
)
"""What EventBus subscribes to, the forms with one-segment device ids included."""


class Address(NamedTuple):
    """Whom a topic is about (a device id or a node name) and what is asked (`twin/update` ...)."""

    id: str
    action: str


def device(topic: str) -> Address | None:
    """Read `$hw/events/device/<id>/<noun>/<verb>`; None when it is no such topic, or too long for one."""
    parts = topic.split("/")
    if len(topic) > LONGEST or not topic.startswith(DEVICE) or len(parts) not in (6, 7) or not all(parts):
        return None
    return Address("/".join(parts[3:-2]), "/".join(parts[-2:]))


def node(topic: str) -> Address | None:
    """Read `$hw/events/node/<node>/<noun>/<verb>`; None when it is no such topic."""
    parts = topic.split("/")
    if len(topic) > LONGEST or not topic.startswith(NODE) or len(parts) != 6 or not all(parts):
        return None
    return Address(parts[3], "/".join(parts[4:]))


def of_device(device_id: str, action: str) -> str:
    """The topic of `action` of a device."""
    return f"{DEVICE}{device_id}/{action}"


def of_node(name: str, action: str) -> str:
    """The topic of `action` of a node."""
    return f"{NODE}{name}/{action}"
