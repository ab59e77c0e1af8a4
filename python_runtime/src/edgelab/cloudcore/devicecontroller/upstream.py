"""What devices report: twins and states, written to DeviceStatus objects.

Receives: messages of source `twin`; changes of Devices from the informer; devices that are silent. Sends: a
confirmation for each report, once it is written. Stores: nothing but what is not written yet.
Reports of one device that come in while its DeviceStatus is being written are merged into the next
write. Without the API: writes are repeated; the node repeats what is not confirmed.
Facts: KubeEdge `cloud/pkg/devicecontroller/controller/upstream.go` (docs/reference/devices.md).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from edgelab.cloudcore.cluster import Cluster
from edgelab.cloudcore.devicecontroller import twins
from edgelab.cloudcore.devicecontroller.downstream import Downstream, confirmation, node_of
from edgelab.cloudcore.devicecontroller.silence import Silence
from edgelab.cloudcore.devicecontroller.statuses import NODE_LABEL, Statuses
from edgelab.cloudcore.interfaces import Courier
from edgelab.cloudcore.workqueue import WorkQueue
from edgelab.daemon.clock import SYSTEM, Clock, rfc3339
from edgelab.kube.informer import DELETED, Key
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import DEVICE_STATUSES, DEVICES
from edgelab.objects.metadata import key_of
from edgelab.objects.status import ApiError
from edgelab.protocol.message import Message

log = logging.getLogger("edgelab.cloudcore.devices")

CONFIRMATIONS = 64
"""Unwritten reports of one device that are remembered for confirmation; older ones are forgotten,
and the node repeats them."""


SILENT = "edgelab.io/silentSince"
"""In `status.extensions`: when a device with `edgelab.io/offline-after` had been silent for too long."""


@dataclass(slots=True)
class _Pending:
    """What is to be written for one device, and who waits for it."""

    twins: dict[str, Obj] = field(default_factory=dict)
    state: dict[str, str] = field(default_factory=dict)
    waiting: list[tuple[str, str]] = field(default_factory=list)
    silent: bool | None = None
    """Whether the device has turned out to be silent, or not to be any more."""

    def under(self, newer: _Pending) -> _Pending:
        """Both together, where `newer` counts."""
        twins = {name: {**self.twins.get(name, {}), **twin} for name, twin in newer.twins.items()}
        silent = self.silent if newer.silent is None else newer.silent
        waiting = [*self.waiting, *newer.waiting][-CONFIRMATIONS:]
        return _Pending({**self.twins, **twins}, {**self.state, **newer.state}, waiting, silent)


class Upstream:
    """A module; `handle` treats one message of a node.

    `mine(node)` says whether this CloudCore, of several, is the one to judge the node's devices.
    """

    name = "devicecontroller"

    def __init__(
        self,
        api: KubeApi,
        cluster: Cluster,
        courier: Courier,
        downstream: Downstream,
        *,
        workers: int = 4,
        mine: Callable[[str], bool] = lambda _: True,
        clock: Clock = SYSTEM,
    ) -> None:
        self._api = api
        self._devices = cluster[DEVICES]
        self._statuses = Statuses(api, cluster[DEVICE_STATUSES])
        self._courier = courier
        self._downstream = downstream
        self._mine = mine
        self._clock = clock
        self._pending: dict[Key, _Pending] = {}
        self._queue: WorkQueue[Key] = WorkQueue(self.name, self._write, workers=workers, clock=clock)
        self.silence = Silence(self._devices, self._fell_silent, clock)
        """The module that notices devices which say nothing any more."""

    def start(self) -> None:
        """Make a DeviceStatus for every Device, now and later."""
        self._statuses.start()
        self._devices.add_handler(self._device_changed)
        self.silence.start()

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
            found = self._read(key, device, what, message)
        except (msgspec.DecodeError, ValueError, AttributeError, KeyError, TypeError) as error:
            log.warning("node %s: a report on device %s/%s cannot be read: %s", node, *key, error)
            return
        if found.silent is False:
            self.silence.heard(key)
        found.waiting = [(node, message.id)]
        self._put(key, found)

    def _read(self, key: Key, device: Obj, what: str, message: Message) -> _Pending:
        """What a report is about. Raises ValueError and others for what is none."""
        content, known = message.object(), self._statuses.known(key) or {}
        if what == "twin/edge_updated":
            news = twins.given(content.get("twin") or {}, twins.property_names(device))
            return _Pending(twins=news, silent=False if twins.is_news(twins.by_name(known), news) else None)
        if what != "state/update":
            raise ValueError(f"{what!r} is neither twin/edge_updated nor state/update")
        report: Obj = next((value for name, value in content.items() if name.lower() == "device"), {})
        state = {name: str(report[name]) for name in ("state", "lastOnlineTime") if report.get(name)}
        before = known.get("status") or {}
        if _silent(before) and state.get("lastOnlineTime") == before.get("lastOnlineTime"):
            return _Pending()  # an edge that starts again repeats what the device said before it fell silent
        return _Pending(state=state, silent=False)

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

    def _device_changed(self, event: str, _old: Obj | None, device: Obj) -> None:
        key = key_of(device)
        if event == DELETED:
            self._pending.pop(key, None)
            return
        status = self._statuses.known(key)
        if status is None or _label_patch(status, device):
            self._queue.add(key)

    def _fell_silent(self, key: Key) -> None:
        device = self._devices.store.get(key)
        if device is not None and self._mine(node_of(device)):
            self._put(key, _Pending(silent=True))

    def _put(self, key: Key, found: _Pending) -> None:
        self._pending[key] = self._pending.get(key, _Pending()).under(found)
        self._queue.add(key)

    async def _write(self, key: Key) -> None:
        device = self._devices.store.get(key) or await self._device(key)
        pending = self._pending.pop(key, _Pending())
        if device is None:
            return
        try:
            await self._statuses.change(key, device, lambda status: self._patch(status, device, pending))
        except BaseException:  # what came in meanwhile is newer and stays on top
            self._pending[key] = pending.under(self._pending.get(key, _Pending()))
            raise
        for node, message_id in pending.waiting:
            self._courier.send(node, confirmation(message_id))

    def _patch(self, status: Obj, device: Obj, pending: _Pending) -> Obj:
        before: Obj = status.get("status") or {}
        change: Obj = dict(pending.state)
        if pending.twins:
            names = twins.property_names(device)
            change["twins"] = twins.with_given(twins.by_name(status), pending.twins, names)
        if pending.silent and not _silent(before):
            change |= {"state": "offline", "extensions": {SILENT: rfc3339(self._clock.now())}}
        elif pending.silent is False and _silent(before):
            change = {"state": "online", **change, "extensions": {SILENT: None}}
        return {**({"status": change} if change else {}), **_label_patch(status, device)}


def _silent(status: Obj) -> bool:
    return SILENT in (status.get("extensions") or {})


def _label_patch(status: Obj, device: Obj) -> Obj:
    labels = (status.get("metadata") or {}).get("labels") or {}
    if labels.get(NODE_LABEL, "") == node_of(device):
        return {}
    return {"metadata": {"labels": {NODE_LABEL: node_of(device) or None}}}
