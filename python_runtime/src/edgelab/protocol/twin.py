"""Twins, states and membership as JSON (KubeEdge `edge/pkg/devicetwin/dttype`).

Values are always text, whatever the property's type; times are Unix milliseconds.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from edgelab.protocol.message import now_ms
from edgelab.uids import new_uid

DELETED = "deleted"
STRING = "string"
KEY = re.compile(r"[a-zA-Z0-9\-_.,:/@#]{1,128}")
MAX_VALUE = 512
STATES = frozenset({"online", "offline", "ok", "unhealthy", "unknown"})


class ValueMetadata(msgspec.Struct, omit_defaults=True):
    """When the edge took the value over."""

    timestamp: int = 0


class TwinValue(msgspec.Struct, omit_defaults=True):
    """One half of a twin; no `value` means that the half is absent."""

    value: str | None = None
    metadata: ValueMetadata | None = None


class TypeMetadata(msgspec.Struct, omit_defaults=True):
    """The type of a property."""

    type: str = ""


class Version(msgspec.Struct):
    """How often each side changed one half."""

    cloud: int = 0
    edge: int = 0


class Twin(msgspec.Struct, omit_defaults=True):
    """A property: what is wanted (`expected`) and what is (`actual`). Never changed, always replaced."""

    expected: TwinValue | None = None
    actual: TwinValue | None = None
    optional: bool | None = None
    metadata: TypeMetadata | None = None
    expected_version: Version | None = None
    actual_version: Version | None = None

    @property
    def type(self) -> str:
        """The property's type; empty when none is given."""
        return self.metadata.type if self.metadata else ""

    @property
    def is_deleted(self) -> bool:
        """Whether only the memory of its versions is left."""
        return self.type == DELETED

    def public(self) -> Twin:
        """The twin without its versions, as clients see it."""
        return Twin(self.expected, self.actual, self.optional, self.metadata)


class TwinUpdate(msgspec.Struct):
    """A request to change twins; a property that is null is to be deleted."""

    twin: dict[str, Twin | None]
    event_id: str = ""


class BaseRequest(msgspec.Struct):
    """A request that says nothing but its id."""

    event_id: str = ""


class StateUpdate(msgspec.Struct):
    """A device's report of its own state."""

    state: str
    event_id: str = ""


class DeviceRecord(msgspec.Struct, omit_defaults=True):
    """A device in membership messages and as the edge keeps it."""

    id: str
    name: str = ""
    description: str = ""
    state: str = ""
    last_online: str = ""
    attributes: dict[str, Any] | None = None
    twin: dict[str, Twin | None] | None = None
    spool: int = 0
    """Of our CloudCore only: the annotation `edgelab.io/spool`, for reports that come before the object."""


class Membership(msgspec.Struct):
    """Devices that come to this node or leave it; null stands for none."""

    event_id: str = ""
    timestamp: int = 0
    added_devices: list[DeviceRecord] | None = None
    removed_devices: list[DeviceRecord] | None = None


class MembershipDetail(msgspec.Struct):
    """All devices of this node."""

    devices: list[DeviceRecord]
    event_id: str = ""
    timestamp: int = 0


class Document(msgspec.Struct):
    """A property before and after a change; null where it did not or does not exist."""

    last: Twin | None
    current: Twin | None


def envelope(event_id: str | None = None, **fields: Any) -> dict[str, Any]:
    """A payload with its id (a fresh one without `event_id`) and the current time first."""
    return {"event_id": new_uid() if event_id is None else event_id, "timestamp": now_ms(), **fields}


def normal_type(name: str) -> str:
    """The type as it is checked and stored: lower case, `double` is a float, unknown ones are text.

    The original refuses unknown types when a twin is created, although its demos send `Updated`.
    """
    lowered = name.lower()
    if lowered in ("int", "integer", "float", "boolean", DELETED):
        return lowered
    return "float" if lowered == "double" else STRING


def value_problem(kind: str, value: str) -> str:
    """Why `value` is none of type `kind`; empty when it is one."""
    if len(value) > MAX_VALUE or not (value.isprintable() or not value):
        return f"the value must be printable and at most {MAX_VALUE} characters long"
    if kind in ("int", "integer"):
        return "" if _is_int64(value) else "the value is not int or integer"
    if kind == "float":
        return "" if _is_float(value) else "the value is not float"
    if kind == "boolean":
        return "" if value in ("true", "false") else "the bool value must be true or false"
    return ""


def _is_int64(value: str) -> bool:
    if not re.fullmatch(r"[+-]?[0-9]{1,19}", value):
        return False
    return -(2**63) <= int(value) < 2**63


def _is_float(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return value == value.strip() and "_" not in value
