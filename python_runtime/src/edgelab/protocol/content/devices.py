"""Devices, their twins and states between cloud and edge (KubeEdge `edge/pkg/devicetwin/dttype`)."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Raw, UnsetType

from edgelab.protocol.content.codecs import Either, Embedded, Struct
from edgelab.protocol.twin import Twin


class Member(msgspec.Struct):
    """A device that comes or goes; its id is `<namespace>/<name>`, since KubeEdge 1.17."""

    id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    state: str | UnsetType = UNSET
    last_online: str | UnsetType = UNSET
    attributes: Raw | UnsetType = UNSET
    twin: dict[str, Twin | None] | UnsetType = UNSET


class MembershipUpdate(msgspec.Struct):
    """Devices that come to this node or leave it; null stands for none."""

    event_id: str
    timestamp: int
    added_devices: list[Member] | UnsetType | None = UNSET
    removed_devices: list[Member] | UnsetType | None = UNSET


class MembershipQuestion(msgspec.Struct):
    """An edge asks which devices it has."""

    event_id: str
    timestamp: int
    event_type: str | UnsetType = UNSET
    group_id: str | UnsetType = UNSET
    operation: str | UnsetType = UNSET


class TwinReport(msgspec.Struct):
    """Twins that changed at the edge; null for one that was deleted."""

    event_id: str
    timestamp: int
    twin: dict[str, Twin | None]


class DeviceState(msgspec.Struct, rename="camel"):
    """A device's state; the time is RFC 3339."""

    name: str
    state: str | UnsetType = UNSET
    last_online_time: str | UnsetType = UNSET


class StateReport(msgspec.Struct):
    """A device's state changed at the edge."""

    event_id: str
    timestamp: int
    device: DeviceState


MEMBERSHIP = Struct(MembershipUpdate)
QUESTION = Either(Embedded(MembershipQuestion), Struct(MembershipQuestion))
TWIN_REPORT = Either(Struct(TwinReport), Embedded(TwinReport))
STATE_TEXT = Embedded(StateReport)
STATE_REPORT = Either(STATE_TEXT, Struct(StateReport))
