"""DeviceTwin (KubeEdge `edge/pkg/devicetwin`).

Receives: devices from MetaManager, memberships from the cloud, requests of MQTT clients from EventBus.
Sends: results, documents and deltas to MQTT clients; twins and states to the cloud. Stores: devices and
twins in SQLite, before anybody is told. Without the cloud: works on, and the newest values go up after
the next connection. Without the broker: what clients would be told is dropped, values still go up.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, Protocol

import msgspec

from edgelab.daemon.clock import Clock, rfc3339
from edgelab.edgecore.devicetwin import devices as table
from edgelab.edgecore.devicetwin import twins
from edgelab.edgecore.devicetwin.devices import Device
from edgelab.edgecore.devicetwin.reporter import STATE, Reporter
from edgelab.edgecore.interfaces import Hub, Obj, Offline, Refused
from edgelab.edgecore.metamanager import rows
from edgelab.edgecore.store import Statement, Store
from edgelab.protocol import message as wire
from edgelab.protocol import topics
from edgelab.protocol.message import Message, now_ms
from edgelab.protocol.topics import Address
from edgelab.protocol.twin import (
    STATES,
    BaseRequest,
    DeviceRecord,
    Membership,
    MembershipDetail,
    StateUpdate,
    Twin,
    TwinUpdate,
    envelope,
)

log = logging.getLogger(__name__)

UNDER_WAY = 1024
"""Changes that may wait for their commit; then nothing more is taken from EventBus."""

ATTEMPTS = 5
UNKNOWN_DEVICE = "update rejected due to the device is not existed"

_twin_update = msgspec.json.Decoder(TwinUpdate)
_state_update = msgspec.json.Decoder(StateUpdate)
_base_request = msgspec.json.Decoder(BaseRequest)
_encoder = msgspec.json.Encoder()


class Bus(Protocol):
    """EventBus as DeviceTwin sees it."""

    def publish(self, topic: str, payload: bytes) -> None:
        """Tell MQTT clients; dropped when there is no broker."""
        ...


class _Change:
    """Statements under way, what follows their commit, and what follows their failure."""

    __slots__ = ("committed", "failed", "statements", "then")

    def __init__(
        self,
        statements: Sequence[Statement],
        committed: asyncio.Future[None],
        then: Callable[[], None],
        failed: Callable[[], None],
    ) -> None:
        self.statements = statements
        self.committed = committed
        self.then = then
        self.failed = failed


class DeviceTwin:
    """The module."""

    name = "devicetwin"

    def __init__(self, store: Store, hub: Hub, clock: Clock, node: str) -> None:
        self._store = store
        self._hub = hub
        self._clock = clock
        self._node = node
        self._bus: Bus | None = None
        self._devices: dict[str, Device] = {}
        self._changes: asyncio.Queue[_Change] = asyncio.Queue(UNDER_WAY)
        self._reporter = Reporter(hub, clock, self._twin_report, self._state_report)
        self._connected = asyncio.Event()
        hub.on_connection(self._connection_changed)

    def attach(self, bus: Bus) -> None:
        """Name the way to MQTT clients."""
        self._bus = bus

    async def run(self) -> None:
        """Load the devices, then follow up commits and connections."""
        self._load()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow_up(), name="devicetwin/commits")
                group.create_task(self._greet(), name="devicetwin/connection")
        finally:
            await self._reporter.close()

    # From the cloud

    async def receive(self, message: Message) -> None:
        """Take a message of group `twin`."""
        where = message.route.resource
        try:
            if "membership/detail" in where:
                await self._set_members(msgspec.json.decode(message.data(), type=MembershipDetail))
            elif "membership" in where:
                await self._change_members(msgspec.json.decode(message.data(), type=Membership))
            elif where.startswith("device/") and where.endswith("/" + topics.TWIN_CLOUD_UPDATED):
                device_id = where.removeprefix("device/").removesuffix("/" + topics.TWIN_CLOUD_UPDATED)
                await self._sync(device_id, message.data())
            else:
                log.debug("DeviceTwin has no use for %s", message.route)
        except (msgspec.DecodeError, RecursionError) as error:
            log.warning("%s cannot be read: %s", message.route, error)

    def device_changed(self, device: Obj) -> None:
        """A Device object was stored: the device is ours, even if its membership message was lost."""
        metadata = device.get("metadata") or {}
        record = DeviceRecord(
            id=f"{metadata.get('namespace') or 'default'}/{metadata.get('name') or ''}",
            name=str(metadata.get("name") or ""),
            description=str((metadata.get("labels") or {}).get("description") or ""),
        )
        known = self._devices.get(record.id)
        if known is None:
            known = self._add(record)
        known.uid = str(metadata.get("uid") or "")

    def device_removed(self, device_id: str, uid: str) -> None:
        """A Device object is gone."""
        known = self._devices.get(device_id)
        if known is not None and (not uid or not known.uid or uid == known.uid):
            self._remove(known)

    # From mappers over DMI

    async def report(self, device_id: str, twins: Mapping[str, Twin | None]) -> None:
        """Take over what a mapper read. Raises Refused."""
        await self._apply(Address(device_id, topics.TWIN_UPDATE), twins, str(uuid.uuid4()))

    async def report_state(self, device_id: str, state: str) -> None:
        """Take over a device's state. Raises Refused."""
        await self._set_state(Address(device_id, topics.STATE_UPDATE), state)

    # From MQTT clients

    async def from_bus(self, topic: str, payload: bytes) -> None:
        """Take a client's request; waits while too many are uncommitted."""
        try:
            await self._take(topic, payload)
        except (msgspec.DecodeError, RecursionError) as error:  # whatever a client sends, the node lives on
            log.info("a message on %s cannot be read: %s", topic, error)

    async def _take(self, topic: str, payload: bytes) -> None:
        address = topics.device(topic)
        if address is None:
            if (node := topics.node(topic)) and node.action == topics.MEMBERSHIP_GET:
                self._tell_members(node.id, payload)
            return
        match address.action:
            case topics.TWIN_UPDATE:
                await self._update(address, payload)
            case topics.TWIN_GET:
                self._get(address, payload)
            case topics.TWIN_CLOUD_UPDATED:
                await self._sync(address.id, payload)
            case topics.STATE_UPDATE:
                await self._update_state(address, payload)
            case _:
                log.info("nothing answers on %s", topic)

    async def _update(self, address: Address, payload: bytes) -> None:
        try:
            request = _twin_update.decode(payload)
        except msgspec.DecodeError as error:
            self._refuse(address, topics.TWIN_UPDATE_RESULT, "", 400, str(error))
            return
        try:
            await self._apply(address, request.twin, request.event_id)
        except Refused as error:
            self._refuse(address, topics.TWIN_UPDATE_RESULT, request.event_id, error.code, str(error))

    async def _apply(self, address: Address, request: Mapping[str, Twin | None], event: str) -> None:
        device = self._find(address.id)
        if device is None:
            raise Refused(404, UNKNOWN_DEVICE)
        try:
            outcome = twins.update(device.twins, request, now_ms())
        except twins.Rejected as error:
            raise Refused(400, str(error)) from error
        device.twins |= outcome.changed
        after = dict(device.twins)

        def then() -> None:
            self._tell(address, topics.TWIN_UPDATE_RESULT, envelope(event, twin=outcome.result))
            self._tell_change(address, event, outcome, after)
            self._reporter.mark(device.id, outcome.changed)

        await self._commit_twins(address, device, outcome, event, then)

    async def _sync(self, device_id: str, payload: bytes) -> None:
        request = _twin_update.decode(payload)
        device = self._find(device_id)
        if device is None:
            log.info("the cloud changes twins of %s, which is not on this node", device_id)
            return
        outcome = twins.sync(device.twins, request.twin)
        device.twins |= outcome.changed
        after = dict(device.twins)
        address = Address(device.id, topics.TWIN_CLOUD_UPDATED)

        def then() -> None:
            self._tell_change(address, request.event_id, outcome, after)
            if outcome.refused:
                self._reporter.mark(device.id, outcome.refused)

        await self._commit_twins(address, device, outcome, request.event_id, then)

    async def _commit_twins(
        self,
        address: Address,
        device: Device,
        outcome: twins.Outcome,
        event: str,
        then: Callable[[], None],
    ) -> None:
        def failed() -> None:
            device.twins = table.load_twins(self._store, device.id)
            self._refuse(address, topics.TWIN_UPDATE_RESULT, event, 500, "the twin could not be stored")

        statements = [
            statement
            for name, twin in outcome.changed.items()
            for statement in table.put_twin(device.id, name, twin)
        ]
        # A twin is reported again and again: what a power cut takes comes back with the next report.
        committed = self._store.submit(statements, durable=False)
        await self._changes.put(_Change(statements, committed, then, failed))

    def _get(self, address: Address, payload: bytes) -> None:
        try:
            event = _base_request.decode(payload).event_id
        except msgspec.DecodeError as error:
            self._refuse(address, topics.TWIN_GET_RESULT, "", 400, str(error))
            return
        device = self._find(address.id)
        if device is None:
            reason = f"Device {address.id} not found while getting twin"
            self._refuse(address, topics.TWIN_GET_RESULT, event, 404, reason)
            return
        shown = {name: twin.public() for name, twin in device.twins.items() if not twin.is_deleted}
        self._tell(address, topics.TWIN_GET_RESULT, envelope(event, twin=shown))

    async def _update_state(self, address: Address, payload: bytes) -> None:
        try:
            await self._set_state(address, _state_update.decode(payload).state)
        except msgspec.DecodeError as error:
            log.info("a state of %s cannot be read: %s", address.id, error)
        except Refused as error:
            log.info("%s", error)

    async def _set_state(self, address: Address, state: str) -> None:
        device = self._find(address.id)
        if device is None:
            raise Refused(404, f"the state of {address.id} is not taken: there is no such device")
        if state.lower() not in STATES:
            raise Refused(400, f"the state of {address.id} is none of {', '.join(sorted(STATES))}")
        device.state = state
        device.last_online = rfc3339(self._clock.now()) if state.lower() in ("online", "ok") else ""

        def then() -> None:
            self._tell(address, topics.STATE_UPDATE_RESULT, _state(device))
            self._reporter.mark(device.id, [STATE])

        statements = [table.put_device(device)]
        committed = self._store.submit(statements, durable=False)
        await self._changes.put(_Change(statements, committed, then, lambda: None))

    def _tell_members(self, node: str, payload: bytes) -> None:
        try:
            event = _base_request.decode(payload).event_id
        except msgspec.DecodeError as error:
            body = envelope("", code=400, reason=str(error))
        else:
            body = envelope(event, devices=[_record(device) for device in self._devices.values()])
        self._publish(topics.of_node(node, topics.MEMBERSHIP_GET_RESULT), body)

    # Membership

    async def _change_members(self, change: Membership) -> None:
        for record in change.added_devices or ():
            device = self._devices.get(record.id) or self._add(record)
            if record.twin:  # clouds before 1.15 send the twin along
                outcome = twins.sync(device.twins, record.twin)
                device.twins |= outcome.changed
                address = Address(device.id, topics.TWIN_CLOUD_UPDATED)
                await self._commit_twins(address, device, outcome, change.event_id, lambda: None)
        for record in change.removed_devices or ():
            if known := self._devices.get(record.id):
                self._remove(known)

    async def _set_members(self, detail: MembershipDetail) -> None:
        await self._change_members(Membership(added_devices=detail.devices))
        listed = {record.id for record in detail.devices}
        # Devices whose object is stored here leave with that object, which is delivered reliably.
        for device in [d for d in self._devices.values() if d.id not in listed and not d.uid]:
            self._remove(device)

    def _add(self, record: DeviceRecord) -> Device:
        device = Device(record.id, record.name, record.description, record.state, record.last_online)
        self._devices[device.id] = device
        log.info("device %s joined this node", device.id)
        added = Membership(added_devices=[_record(device)])
        self._store_members([table.put_device(device)], added)
        return device

    def _remove(self, device: Device) -> None:
        del self._devices[device.id]
        self._reporter.forget(device.id)
        log.info("device %s left this node", device.id)
        removed = Membership(removed_devices=[DeviceRecord(id=device.id, name=device.name)])
        self._store_members(table.drop_device(device.id), removed)

    def _store_members(self, statements: Sequence[Statement], change: Membership) -> None:
        committed = self._store.submit(statements)
        committed.add_done_callback(_log_failure)
        body = envelope(added_devices=change.added_devices, removed_devices=change.removed_devices)
        self._publish(topics.of_node(self._node, topics.MEMBERSHIP_UPDATED), body)

    def _load(self) -> None:
        self._devices = table.load(self._store)
        for _, value in rows.of_type(self._store, "device"):
            self.device_changed(msgspec.json.decode(value))
        for device in self._devices.values():
            # Nobody knows what the cloud had confirmed before this process began.
            names = [name for name, twin in device.twins.items() if not twin.is_deleted]
            self._reporter.mark(device.id, [*names, *([STATE] if device.state else [])])

    def _find(self, device_id: str) -> Device | None:
        found = self._devices.get(device_id)
        if found is None and "/" not in device_id:
            named = [device for device in self._devices.values() if device.name == device_id]
            found = named[0] if len(named) == 1 else None
        return found

    # After commits and connections

    async def _follow_up(self) -> NoReturn:
        while True:
            change = await self._changes.get()
            committed = change.committed
            for attempt in range(ATTEMPTS):
                try:
                    await committed
                except sqlite3.Error as error:
                    log.error("a device's change could not be stored: %s", error)
                    if attempt == ATTEMPTS - 1:
                        change.failed()
                        break
                    await self._clock.sleep(1)
                    committed = self._store.submit(change.statements, durable=False)
                else:
                    change.then()
                    break

    def _connection_changed(self, connected: bool) -> None:
        if connected:
            self._connected.set()
            self._reporter.resume()

    async def _greet(self) -> NoReturn:
        """Ask for the list of devices after each connection; only our own CloudCore answers."""
        while True:
            await self._connected.wait()
            self._connected.clear()
            question = {
                "event_type": "group_membership_event",
                **envelope(),
                "group_id": self._node,
                "operation": "detail",
            }
            try:
                await self._hub.send(
                    wire.new(
                        source="twin",
                        group="resource",
                        operation="get",
                        resource="membership/detail",
                        content=_encoder.encode(question).decode(),
                    )
                )
            except Offline:
                continue

    # Messages

    def _twin_report(self, device_id: str, names: set[str]) -> Message | None:
        device = self._devices.get(device_id)
        if device is None:
            return None
        body = envelope(twin={name: device.twins[name] for name in sorted(names) if name in device.twins})
        return self._upstream(f"device/{device_id}/twin/edge_updated", body)

    def _state_report(self, device_id: str) -> Message | None:
        device = self._devices.get(device_id)
        if device is None:
            return None
        # The original sends a state as text, a twin as an object.
        return self._upstream(f"device/{device_id}/state/update", _encoder.encode(_state(device)).decode())

    def _upstream(self, resource: str, content: Any) -> Message:
        return wire.new(
            source="twin", group="resource", operation="update", resource=resource, content=content
        )

    def _tell_change(
        self, address: Address, event: str, outcome: twins.Outcome, after: dict[str, Any]
    ) -> None:
        if outcome.document:
            self._tell(address, topics.TWIN_UPDATE_DOCUMENT, envelope(event, twin=outcome.document))
        expected, differing = twins.delta(after)
        if differing:
            self._tell(address, topics.TWIN_UPDATE_DELTA, envelope(twin=expected, delta=differing))

    def _refuse(self, address: Address, action: str, event: str, code: int, reason: str) -> None:
        self._tell(address, action, envelope(event, code=code, reason=reason))

    def _tell(self, address: Address, action: str, body: dict[str, Any]) -> None:
        self._publish(topics.of_device(address.id, action), body)

    def _publish(self, topic: str, body: dict[str, Any]) -> None:
        if self._bus is not None:
            self._bus.publish(topic, _encoder.encode(body))


def _record(device: Device) -> DeviceRecord:
    return DeviceRecord(device.id, device.name, device.description, device.state, device.last_online)


def _state(device: Device) -> dict[str, Any]:
    last = {"lastOnlineTime": device.last_online} if device.last_online else {}
    return envelope(device={"name": device.name, "state": device.state, **last})


def _log_failure(committed: asyncio.Future[None]) -> None:
    if not committed.cancelled() and (error := committed.exception()) is not None:
        log.error("a change of membership could not be stored: %s", error)
