"""Which devices are on this node: in memory, in the store, and told to MQTT clients."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence

from edgelab.edgecore.devicetwin import devices as table
from edgelab.edgecore.devicetwin.clients import Clients
from edgelab.edgecore.devicetwin.commits import Commits
from edgelab.edgecore.devicetwin.devices import Device
from edgelab.edgecore.devicetwin.reporter import Reporter
from edgelab.edgecore.interfaces import Obj
from edgelab.edgecore.store import Statement, Store
from edgelab.objects.devices import id_of, spool_of
from edgelab.protocol.twin import DeviceRecord

log = logging.getLogger(__name__)


class Roster:
    """The devices by id."""

    def __init__(self, store: Store, commits: Commits, clients: Clients, reporter: Reporter) -> None:
        self._store = store
        self._commits = commits
        self._clients = clients
        self._reporter = reporter
        self._devices: dict[str, Device] = {}
        self._named: dict[str, set[str]] = {}

    def __iter__(self) -> Iterator[Device]:
        return iter(self._devices.values())

    def load(self) -> None:
        """Take over what is stored."""
        for device in table.load(self._store).values():
            self._enter(device)

    def get(self, device_id: str) -> Device | None:
        """The device of exactly this id."""
        return self._devices.get(device_id)

    def find(self, device_id: str) -> Device | None:
        """The device that a client means: by its id, or by its bare name when no other has that name."""
        found = self._devices.get(device_id)
        if found is None and "/" not in device_id:
            found = self._bearer(device_id)
            if found is not None:
                found.bare = True
        return found

    def ids(self, device: Device, asked: str = "") -> tuple[str, ...]:
        """The forms of the id under which clients are told: the one they asked by, and what others read."""
        forms = [asked or device.id]
        if (device.bare or not asked) and self._bearer(device.name) is device:
            forms += [form for form in (device.id, device.name) if form not in forms]
        return tuple(forms)

    def add(self, record: DeviceRecord) -> Device:
        """A device came to this node."""
        device = Device(record.id, record.name, record.description, record.state, record.last_online)
        device.spool = record.spool
        self._enter(device)
        log.info("device %s joined this node", device.id)
        self._submit([table.put_device(device)])
        self._clients.joined(record_of(device))
        return device

    def of_object(self, obj: Obj) -> Device:
        """The device that a Device object is about: it is ours, even if its membership message was lost."""
        metadata = obj.get("metadata") or {}
        name = str(metadata.get("name") or "")
        description = str((metadata.get("labels") or {}).get("description") or "")
        known = self._devices.get(id_of(obj))
        if known is None:
            known = self.add(DeviceRecord(id_of(obj), name, description))
        elif known.description != description:
            known.description = description
            self._submit([table.put_device(known)])
        known.uid = str(metadata.get("uid") or "")
        known.spool = spool_of(obj)
        return known

    def remove(self, device: Device) -> None:
        """A device left this node."""
        del self._devices[device.id]
        self._named[device.name].discard(device.id)
        if not self._named[device.name]:
            del self._named[device.name]
        self._reporter.forget(device.id)
        self._commits.forget(device.id)
        log.info("device %s left this node", device.id)
        self._submit(table.drop_device(device.id))
        self._clients.left(DeviceRecord(id=device.id, name=device.name))

    def _bearer(self, name: str) -> Device | None:
        """The only device of a name."""
        ids = self._named.get(name) or ()
        return self._devices[next(iter(ids))] if len(ids) == 1 else None

    def _enter(self, device: Device) -> None:
        self._devices[device.id] = device
        self._named.setdefault(device.name, set()).add(device.id)

    def _submit(self, statements: Sequence[Statement]) -> None:
        self._store.submit(statements).add_done_callback(_log_failure)


def record_of(device: Device) -> DeviceRecord:
    """A device in membership messages."""
    return DeviceRecord(device.id, device.name, device.description, device.state, device.last_online)


def _log_failure(committed: asyncio.Future[None]) -> None:
    if not committed.cancelled() and (error := committed.exception()) is not None:
        log.error("a change of membership could not be stored: %s", error)
