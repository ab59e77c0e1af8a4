"""Reports that the cloud has not confirmed, for devices that ask for each of them (`edgelab.io/spool`).

The newest values are kept by the twins themselves; this is what was before. A connection may be gone for a
while before anybody knows, so a report is kept whether there seems to be one or not. Bounded by the number
that the device asks for: the oldest go first. The original forgets all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from edgelab.edgecore.devicetwin.devices import Device
from edgelab.edgecore.store import Statement, Store
from edgelab.protocol.twin import Twin


class Kept(NamedTuple):
    """One report and its place in the order."""

    number: int
    twins: msgspec.Raw


class Spool:
    """The table `edgelab_spool`. Reads see what is committed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def keep(self, device: Device, twins: Mapping[str, Twin]) -> list[Statement]:
        """The statements that keep a report; none when the device does not ask for it."""
        if not device.spool or not twins:
            return []
        report = msgspec.json.encode(twins).decode()
        too_many = (
            "DELETE FROM edgelab_spool WHERE deviceid = ? AND id <= (SELECT id FROM edgelab_spool"
            " WHERE deviceid = ? ORDER BY id DESC LIMIT 1 OFFSET ?)"
        )
        return [
            ("INSERT INTO edgelab_spool (deviceid, report) VALUES (?, ?)", (device.id, report)),
            (too_many, (device.id, device.id, device.spool)),
        ]

    def oldest(self, device_id: str) -> Kept | None:
        """The oldest report that is kept of a device."""
        sql = "SELECT id, report FROM edgelab_spool WHERE deviceid = ? ORDER BY id LIMIT 1"
        rows = self._store.read(sql, (device_id,))
        return Kept(rows[0][0], msgspec.Raw(rows[0][1].encode())) if rows else None

    async def forget(self, device_id: str, until: int) -> None:
        """Forget a device's reports up to a number, which the cloud has. Raises sqlite3.Error."""
        sql = "DELETE FROM edgelab_spool WHERE deviceid = ? AND id <= ?"
        await self._store.submit([(sql, (device_id, until))], durable=False)
