"""The devices of this node in memory, and their rows in SQLite."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from edgelab.edgecore.store import Statement, Store
from edgelab.protocol.twin import Twin, TwinValue, TypeMetadata, ValueMetadata, Version

_SELECT = (
    "SELECT deviceid, name, expected, actual, expected_meta, actual_meta, expected_version,"
    " actual_version, optional, attr_type FROM device_twin"
)


@dataclass(slots=True)
class Device:
    """One device; `uid` and what follows are its Kubernetes object's, when that has arrived."""

    id: str
    name: str
    description: str = ""
    state: str = ""
    last_online: str = ""
    uid: str = ""
    spool: int = 0
    """Reports that are kept while the cloud is away, besides the newest."""
    desired: dict[str, str] = field(default_factory=dict)
    """The values that its properties shall have, as the object last said."""
    bare: bool = False
    """Whether a client asked for it by its name alone."""
    twins: dict[str, Twin] = field(default_factory=dict)


def load(store: Store) -> dict[str, Device]:
    """All devices with their twins."""
    devices: dict[str, Device] = {}
    for row in store.read("SELECT id, name, description, state, last_online FROM device"):
        device_id, name, description, state, last_online = (text or "" for text in row)
        devices[device_id] = Device(device_id, name, description, state, last_online)
    for device_id, name, twin in _twins(store.read(f"{_SELECT} ORDER BY id")):
        if device_id in devices:
            devices[device_id].twins[name] = twin
    return devices


def load_twins(store: Store, device_id: str) -> dict[str, Twin]:
    """The twins of one device as they are stored."""
    rows = store.read(f"{_SELECT} WHERE deviceid = ?", (device_id,))
    return {name: twin for _, name, twin in _twins(rows)}


def put_device(device: Device) -> Statement:
    """Insert or replace a device's own row."""
    return (
        "INSERT INTO device (id, name, description, state, last_online) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET name = excluded.name, description = excluded.description,"
        " state = excluded.state, last_online = excluded.last_online",
        (device.id, device.name, device.description, device.state, device.last_online),
    )


def drop_device(device_id: str) -> list[Statement]:
    """Delete everything about a device."""
    return [
        ("DELETE FROM device WHERE id = ?", (device_id,)),
        ("DELETE FROM device_attr WHERE deviceid = ?", (device_id,)),
        ("DELETE FROM device_twin WHERE deviceid = ?", (device_id,)),
        ("DELETE FROM edgelab_spool WHERE deviceid = ?", (device_id,)),
    ]


def put_twin(device_id: str, name: str, twin: Twin) -> list[Statement]:
    """Insert or replace a twin; the table has no key for it, so an update is tried first."""
    values = (
        _text(twin.expected),
        _text(twin.actual),
        _meta(twin.expected),
        _meta(twin.actual),
        _json(twin.expected_version),
        _json(twin.actual_version),
        twin.optional is not False,
        twin.type,
    )
    return [
        (
            "UPDATE device_twin SET expected = ?, actual = ?, expected_meta = ?, actual_meta = ?,"
            " expected_version = ?, actual_version = ?, optional = ?, attr_type = ?"
            " WHERE deviceid = ? AND name = ?",
            (*values, device_id, name),
        ),
        (
            "INSERT INTO device_twin (expected, actual, expected_meta, actual_meta, expected_version,"
            " actual_version, optional, attr_type, deviceid, name, description, metadata)"
            " SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', '' WHERE changes() = 0",
            (*values, device_id, name),
        ),
    ]


def _twins(rows: list[tuple[Any, ...]]) -> list[tuple[str, str, Twin]]:
    return [
        (
            row[0],
            row[1],
            Twin(
                expected=_value(row[2], row[4]),
                actual=_value(row[3], row[5]),
                optional=bool(row[8]),
                metadata=TypeMetadata(row[9] or "string"),
                expected_version=_version(row[6]),
                actual_version=_version(row[7]),
            ),
        )
        for row in rows
    ]


def _text(half: TwinValue | None) -> str | None:
    return half.value if half else None


def _meta(half: TwinValue | None) -> str | None:
    return _json(half.metadata) if half else None


def _json(value: msgspec.Struct | None) -> str | None:
    return msgspec.json.encode(value).decode() if value is not None else None


def _value(text: str | None, metadata: str | None) -> TwinValue | None:
    # The original writes "" for a half that was never set, which then has no metadata either.
    if text is None or (not text and not metadata):
        return None
    return TwinValue(text, msgspec.json.decode(metadata, type=ValueMetadata) if metadata else None)


def _version(text: str | None) -> Version | None:
    return msgspec.json.decode(text, type=Version) if text else None
