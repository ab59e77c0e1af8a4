"""What devices report: twins and states, written to DeviceStatus objects.

Receives: messages of source `twin`; changes of Devices from the informer. Sends: a confirmation for
each report, once it is written. Stores: the last reported twins of each device, in memory.
Reports of one device that come in while its DeviceStatus is being written are merged into the next
write. Without the API: writes are repeated; the node repeats what is not confirmed.
Facts: KubeEdge `cloud/pkg/devicecontroller/controller/upstream.go` (docs/reference/devices.md).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

import msgspec

from edgelab.cloudcore.cluster import Cluster
from edgelab.cloudcore.devicecontroller import twins
from edgelab.cloudcore.devicecontroller.downstream import Downstream, confirmation, node_of
from edgelab.cloudcore.interfaces import Courier
from edgelab.cloudcore.workqueue import WorkQueue
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.kube.informer import DELETED, Key
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import DEVICE_STATUSES, DEVICES
from edgelab.objects.metadata import key_of, owner_reference
from edgelab.objects.status import ApiError
from edgelab.protocol.message import Message

log = logging.getLogger("edgelab.cloudcore.devices")

NODE_LABEL = "edgelab.io/node"
"""On a DeviceStatus: the node of its device (shown by kubectl, read by the twin exporter)."""
CONFIRMATIONS = 64
"""Unwritten reports of one device that are remembered for confirmation; older ones are forgotten,
and the node repeats them."""


@dataclass(slots=True)
class _Pending:
    """What is to be written for one device, and who waits for it."""

    twins: dict[str, Obj] = field(default_factory=dict)
    state: dict[str, str] = field(default_factory=dict)
    waiting: list[tuple[str, str]] = field(default_factory=list)


class Upstream:
    """A module; `handle` treats one message of a node."""

    name = "devicecontroller"

    def __init__(
        self,
        api: KubeApi,
        cluster: Cluster,
        courier: Courier,
        downstream: Downstream,
        *,
        workers: int = 4,
        clock: Clock = SYSTEM,
    ) -> None:
        self._api = api
        self._devices, self._statuses = cluster[DEVICES], cluster[DEVICE_STATUSES]
        self._courier = courier
        self._downstream = downstream
        self._pending: dict[Key, _Pending] = {}
        self._twins: dict[Key, dict[str, Obj]] = {}
        self._queue: WorkQueue[Key] = WorkQueue(self.name, self._write, workers=workers, clock=clock)

    def start(self) -> None:
        """Make a DeviceStatus for every Device, now and later."""
        self._devices.add_handler(self._device_changed)

    async def run(self) -> None:
        """Write until cancelled."""
        await self._queue.run()

    async def handle(self, node: str, message: Message) -> None:
        """One message of the node's device twin."""
        resource = message.route.resource
        if resource.startswith("membership/detail"):
            self._downstream.answer_detail(node)
            return
        parts = resource.split("/")
        if len(parts) != 5 or parts[0] != "device":
            log.warning("node %s reports on %r, which is no device", node, resource)
            return
        key, what = (parts[1], parts[2]), "/".join(parts[3:])
        device = await self._device(key)
        if device is None:
            log.warning("node %s reports on device %s/%s, which does not exist", node, *key)
            return
        if node_of(device) != node:
            # Not the node's device (any more): nothing is written, and it need not repeat itself.
            log.warning("node %s reports on device %s/%s of node %r", node, *key, node_of(device))
            self._courier.send(node, confirmation(message.id))
            return
        try:
            self._take(key, device, what, message)
        except (msgspec.DecodeError, ValueError, AttributeError, KeyError, TypeError) as error:
            log.warning("node %s: a report on device %s/%s cannot be read: %s", node, *key, error)
            return
        pending = self._pending[key]
        pending.waiting = [*pending.waiting[1 - CONFIRMATIONS :], (node, message.id)]
        self._queue.add(key)

    def _take(self, key: Key, device: Obj, what: str, message: Message) -> None:
        content = message.object()
        pending = self._pending.setdefault(key, _Pending())
        if what == "twin/edge_updated":
            known = self._known(key)
            pending.twins |= twins.reported(
                content.get("twin") or {}, known | pending.twins, twins.property_names(device)
            )
        elif what == "state/update":
            report: Obj = next((value for name, value in content.items() if name.lower() == "device"), {})
            pending.state |= {
                name: str(report[name]) for name in ("state", "lastOnlineTime") if report.get(name)
            }
        else:
            raise ValueError(f"{what!r} is neither twin/edge_updated nor state/update")

    async def _device(self, key: Key) -> Obj | None:
        device = self._devices.store.get(key)
        if device is not None:
            return device
        try:
            return await self._api.get(DEVICES, key[1], key[0])
        except ApiError as error:
            if error.code == 404:
                return None
            raise

    def _known(self, key: Key) -> dict[str, Obj]:
        stored = twins.by_name(self._statuses.store.get(key))
        return twins.newest(stored, self._twins.get(key, {}))

    def _device_changed(self, event: str, _old: Obj | None, device: Obj) -> None:
        key = key_of(device)
        if event == DELETED:
            self._twins.pop(key, None)
            self._pending.pop(key, None)
            return
        status = self._statuses.store.get(key)
        if status is None or self._label_patch(status, device):
            self._queue.add(key)

    async def _write(self, key: Key) -> None:
        device = self._devices.store.get(key) or await self._device(key)
        pending = self._pending.pop(key, _Pending())
        if device is None:
            return
        try:
            await self._patch(key, device, pending)
        except BaseException:
            self._put_back(key, pending)
            raise
        for node, message_id in pending.waiting:
            self._courier.send(node, confirmation(message_id))

    async def _patch(self, key: Key, device: Obj, pending: _Pending) -> None:
        status = self._statuses.store.get(key)
        body: Obj = {}
        if pending.twins:
            names = twins.property_names(device)
            merged = {n: t for n, t in (self._known(key) | pending.twins).items() if n in names}
            self._twins[key] = merged
            body.setdefault("status", {})["twins"] = [merged[name] for name in names if name in merged]
        if pending.state:
            body.setdefault("status", {}).update(pending.state)
        if status is None:
            status = await self._get_or_create(key, device)
        body |= self._label_patch(status, device)
        if not body:
            return
        try:
            await self._api.patch(DEVICE_STATUSES, key[1], body, key[0])
        except ApiError as error:
            if error.code != 404:
                raise
            await self._get_or_create(key, device)
            await self._api.patch(DEVICE_STATUSES, key[1], body, key[0])

    async def _get_or_create(self, key: Key, device: Obj) -> Obj:
        owner = owner_reference(
            {**device, "kind": DEVICES.kind, "apiVersion": DEVICES.api_version}, controller=True
        )
        metadata: Obj = {"namespace": key[0], "name": key[1], "ownerReferences": [owner]}
        if node_of(device):
            metadata["labels"] = {NODE_LABEL: node_of(device)}
        body = {
            "apiVersion": DEVICE_STATUSES.api_version,
            "kind": DEVICE_STATUSES.kind,
            "metadata": metadata,
            "spec": {},
        }
        try:
            return await self._api.create(DEVICE_STATUSES, body, key[0])
        except ApiError as error:
            if error.code != 409:
                raise
            return await self._api.get(DEVICE_STATUSES, key[1], key[0])

    def _put_back(self, key: Key, pending: _Pending) -> None:
        """A write failed: what came in meanwhile is newer and stays on top."""
        newer = self._pending.get(key, _Pending())
        newer.twins = pending.twins | newer.twins
        newer.state = pending.state | newer.state
        newer.waiting = [*pending.waiting, *newer.waiting][-CONFIRMATIONS:]
        self._pending[key] = newer

    @staticmethod
    def _label_patch(status: Obj, device: Obj) -> Obj:
        labels = (status.get("metadata") or {}).get("labels") or {}
        if labels.get(NODE_LABEL, "") == node_of(device):
            return {}
        return {"metadata": {"labels": {NODE_LABEL: node_of(device) or None}}}
