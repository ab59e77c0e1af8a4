"""DeviceTwin (KubeEdge `edge/pkg/devicetwin`).

Receives: devices from MetaManager, memberships from the cloud, requests of MQTT clients, reports of mappers
over DMI. Sends: results, documents and deltas to MQTT clients; twins and states to the cloud.
Stores: devices and twins in SQLite, before anybody is told. Without the cloud: works on; after the next
connection what a device's spool has kept goes up, then the newest values. Without the broker: what clients
would be told is dropped, values still go up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import NoReturn

import msgspec

from edgelab.daemon.clock import Clock
from edgelab.edgecore.devicetwin.clients import Bus, Clients
from edgelab.edgecore.devicetwin.commits import Commits
from edgelab.edgecore.devicetwin.devices import Device
from edgelab.edgecore.devicetwin.intake import Intake
from edgelab.edgecore.devicetwin.reporter import STATE, Reporter, state_report, twin_report
from edgelab.edgecore.devicetwin.requests import MOST_BYTES, UNKNOWN_DEVICE, Requests
from edgelab.edgecore.devicetwin.roster import Roster
from edgelab.edgecore.devicetwin.spool import Spool
from edgelab.edgecore.devicetwin.updates import Updates, state_of
from edgelab.edgecore.devicetwin.wishes import Wish, wish
from edgelab.edgecore.interfaces import Hub, Obj, Offline, Refused
from edgelab.edgecore.metamanager import rows
from edgelab.edgecore.store import Store
from edgelab.objects.devices import desired_of
from edgelab.protocol import message as wire
from edgelab.protocol import topics
from edgelab.protocol.message import Message, now_ms
from edgelab.protocol.twin import Membership, MembershipDetail, Twin, TwinUpdate, envelope
from edgelab.uids import new_uid

log = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode


class DeviceTwin:
    """The module, `interfaces.Twins` for DMI and `interfaces.DeviceConsumer` for MetaManager."""

    name = "devicetwin"

    def __init__(self, store: Store, hub: Hub, clock: Clock, node: str) -> None:
        self._store = store
        self._hub = hub
        self._node = node
        self._clients = Clients(node)
        self._commits = Commits(store, clock)
        self._reporter = Reporter(hub, clock, Spool(store), self._twin_report, self._state_report)
        self._roster = Roster(store, self._commits, self._clients, self._reporter)
        self._updates = Updates(
            store, hub, clock, self._commits, clients=self._clients, reporter=self._reporter
        )
        self._requests = Requests(self._roster, self._updates, self._clients)
        self._intake = Intake(self._requests.handle, self._commits, clock)
        self._connected = asyncio.Event()
        hub.on_connection(self._connection_changed)

    def attach(self, bus: Bus) -> None:
        """Name the way to MQTT clients."""
        self._clients.attach(bus)

    async def run(self) -> None:
        """Load the devices, then carry out what comes in."""
        self._load()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._commits.run(), name="devicetwin/commits")
                group.create_task(self._intake.run(), name="devicetwin/requests")
                group.create_task(self._greet(), name="devicetwin/connection")
        finally:
            await self._reporter.close()

    # From the cloud

    async def receive(self, message: Message) -> None:
        """Take a message of group `twin`."""
        where = message.route.resource
        try:
            if "membership/detail" in where:
                self._set_members(msgspec.json.decode(message.data(), type=MembershipDetail))
            elif "membership" in where:
                self._change_members(msgspec.json.decode(message.data(), type=Membership))
            elif where.startswith("device/") and where.endswith("/" + topics.TWIN_CLOUD_UPDATED):
                device_id = where.removeprefix("device/").removesuffix("/" + topics.TWIN_CLOUD_UPDATED)
                self._sync(device_id, msgspec.json.decode(message.data(), type=TwinUpdate))
            else:
                log.debug("DeviceTwin has no use for %s", message.route)
        except (msgspec.DecodeError, RecursionError) as error:
            log.warning("%s cannot be read: %s", message.route, error)
        await self._commits.room()

    def device_changed(self, device: Obj) -> None:
        """A Device object was stored: its wanted values are what is expected of its twins."""
        known = self._roster.of_object(device)
        wanted = {
            name: Wish(desired["value"], str((desired.get("metadata") or {}).get("type") or ""))
            for name, desired in desired_of(device).items()
        }
        version = str((device.get("metadata") or {}).get("resourceVersion") or "")
        outcome = wish(
            known.twins, known.desired, wanted, int(version) if version.isdecimal() else 0, now_ms()
        )
        known.desired = {name: one.value for name, one in wanted.items()}
        for name, problem in outcome.problems.items():
            log.warning("device %s: the wanted value of %r cannot be reached: %s", known.id, name, problem)
        if outcome.changed:
            self._updates.wishes(known, outcome, self._roster.ids(known))

    def device_removed(self, device_id: str, uid: str) -> None:
        """A Device object is gone."""
        known = self._roster.get(device_id)
        if known is not None and (not uid or not known.uid or uid == known.uid):
            self._roster.remove(known)

    def _sync(self, device_id: str, request: TwinUpdate) -> None:
        device = self._roster.find(device_id)
        if device is None:
            log.info("the cloud changes twins of %s, which is not on this node", device_id)
        else:
            self._updates.from_cloud(device, request.twin, self._roster.ids(device), request.event_id)

    # From mappers over DMI

    async def report(self, device_id: str, twins: Mapping[str, Twin | None]) -> None:
        """Take over what a mapper read. Raises Refused."""
        await self._commits.room()
        device = self._reporting(device_id)
        self._updates.from_node(device, twins, self._roster.ids(device, device_id), new_uid())

    async def report_state(self, device_id: str, state: str) -> None:
        """Take over a device's state. Raises Refused."""
        await self._commits.room()
        device = self._reporting(device_id)
        self._updates.state(device, state, self._roster.ids(device, device_id))

    def _reporting(self, device_id: str) -> Device:
        if (device := self._roster.get(device_id)) is None:
            raise Refused(404, UNKNOWN_DEVICE)
        return device

    # From MQTT clients

    async def from_bus(self, topic: str, payload: bytes) -> None:
        """Take a client's request; waits while too many wait."""
        if (address := topics.device(topic)) is not None:
            if len(payload) > MOST_BYTES:  # told at once: it shall not wait in memory
                self._requests.handle(address, payload, answered=True)
            else:
                await self._intake.put(address, payload)
        elif (node := topics.node(topic)) and node.action == topics.MEMBERSHIP_GET:
            self._requests.members(node.id, payload)

    # Membership

    def _change_members(self, change: Membership) -> None:
        for record in change.added_devices or ():
            device = self._roster.get(record.id) or self._roster.add(record)
            if record.twin:  # clouds before 1.15 send the twin along
                self._updates.from_cloud(device, record.twin, (), change.event_id)
        for record in change.removed_devices or ():
            if known := self._roster.get(record.id):
                self._roster.remove(known)

    def _set_members(self, detail: MembershipDetail) -> None:
        self._change_members(Membership(added_devices=detail.devices))
        listed = {record.id for record in detail.devices}
        # Devices whose object is stored here leave with that object, which is delivered reliably.
        for device in [d for d in self._roster if d.id not in listed and not d.uid]:
            self._roster.remove(device)

    def _load(self) -> None:
        self._roster.load()
        for _, value in rows.of_type(self._store, "device"):
            self.device_changed(msgspec.json.decode(value))
        for device in self._roster:
            # Nobody knows what the cloud had confirmed before this process began.
            names = [name for name, twin in device.twins.items() if not twin.is_deleted]
            self._reporter.mark(device.id, [*names, *([STATE] if device.state else [])])

    # To the cloud

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
                        content=_encode(question).decode(),
                    )
                )
            except Offline:
                continue

    def _twin_report(self, device_id: str, names: set[str]) -> Message | None:
        device = self._roster.get(device_id)
        if device is None:
            return None
        found = {name: device.twins[name] for name in sorted(names) if name in device.twins}
        return twin_report(device_id, found)

    def _state_report(self, device_id: str) -> Message | None:
        device = self._roster.get(device_id)
        if device is None:
            return None
        return state_report(device_id, _encode(state_of(device)))
