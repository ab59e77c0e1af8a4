"""Devices and their models on their way to edge nodes.

Receives: changes from informers; nodes' questions for their devices. Sends: membership messages
(not acknowledged), models and devices (pushes). Stores: nothing.
When a node is away: the objects come by SyncController; the list of members is given when the node
asks for it (`membership/detail`), which the original never answers.
Facts: KubeEdge `cloud/pkg/devicecontroller/controller/downstream.go` (docs/reference/devices.md).
"""

from __future__ import annotations

from typing import Any

from edgelab.cloudcore.cluster import Cluster
from edgelab.cloudcore.interfaces import Courier
from edgelab.kube.informer import ADDED, DELETED
from edgelab.kube.interface import Obj
from edgelab.kube.resources import DEVICE_MODELS, DEVICES
from edgelab.objects.devices import spool_of
from edgelab.objects.metadata import key_of
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message
from edgelab.protocol.session.delivery import Delivery, of_object
from edgelab.uids import new_uid

SOURCE = "devicecontroller"
INSERT, UPDATE, DELETE = "insert", "update", "delete"


def node_of(device: Obj) -> str:
    """The node that owns the device; empty when it has none."""
    return str((device.get("spec") or {}).get("nodeName") or "")


def model_of(device: Obj) -> str:
    """The name of the device's model; empty when it names none."""
    return str(((device.get("spec") or {}).get("deviceModelRef") or {}).get("name") or "")


class Downstream:
    """Turns informer events into pushes. Call `start` once the informers have listed everything."""

    def __init__(self, cluster: Cluster, courier: Courier) -> None:
        self._devices, self._models = cluster[DEVICES], cluster[DEVICE_MODELS]
        self._courier = courier

    def start(self) -> None:
        """Follow the informers; what is there already is looked at first."""
        self._devices.add_handler(self._device_changed)
        self._models.add_handler(self._model_changed)

    def bring(self, node: str) -> None:
        """Push what a node that has just connected should have."""
        for device in self._on(node):
            self._push_model(node, device, INSERT)
            self._push(node, device, INSERT)

    def answer_detail(self, node: str) -> None:
        """Tell the node all its devices; it drops those it has besides."""
        members = [_member(device) for device in self._on(node)]
        self._send(node, "membership/detail", {"devices": members})

    def removed(self, node: str, namespace: str, name: str) -> None:
        """Tell the node that a device is not its own any more."""
        member = {"id": f"{namespace}/{name}", "name": name}
        self._send(node, "membership", {"added_devices": None, "removed_devices": [member]})

    def _on(self, node: str) -> list[Obj]:
        return [device for device in self._devices.store.values() if node_of(device) == node]

    def _device_changed(self, event: str, old: Obj | None, device: Obj) -> None:
        node = node_of(device)
        before = node_of(old) if old is not None and event != ADDED else ""
        if event == DELETED:
            self._leave(before or node, device)
        elif node == before:
            if node:
                self._push_model(node, device, UPDATE)
                self._push(node, device, UPDATE)
        else:
            if before and old is not None:
                self._leave(before, old)
            if node:
                self._join(node, device)

    def _join(self, node: str, device: Obj) -> None:
        self._send(node, "membership", {"added_devices": [_member(device)], "removed_devices": None})
        self._push_model(node, device, INSERT)
        self._push(node, device, INSERT)

    def _leave(self, node: str, device: Obj) -> None:
        if not node:
            return
        namespace, name = key_of(device)
        self.removed(node, namespace, name)
        model = self._model(device)
        if model is not None and not self._uses(node, model):
            self._push(node, model, DELETE)
        self._push(node, device, DELETE)

    def _model_changed(self, event: str, _old: Obj | None, model: Obj) -> None:
        """A node has a model for its devices; when it is deleted, SyncController takes it away."""
        if event == DELETED:
            return
        namespace, name = key_of(model)
        users = {
            node_of(device)
            for (where, _), device in self._devices.store.items()
            if where == namespace and model_of(device) == name
        }
        for node in sorted(users - {""}):
            self._push(node, model, INSERT if event == ADDED else UPDATE)

    def _model(self, device: Obj) -> Obj | None:
        return self._models.store.get((key_of(device)[0], model_of(device)))

    def _uses(self, node: str, model: Obj) -> bool:
        namespace, name = key_of(model)
        return any(key_of(d)[0] == namespace and model_of(d) == name for d in self._on(node))

    def _push_model(self, node: str, device: Obj, operation: str) -> None:
        model = self._model(device)
        if model is not None:
            self._push(node, model, operation)

    def _push(self, node: str, obj: Obj, operation: str) -> None:
        delivery: Delivery = of_object(obj, operation, source=SOURCE)
        self._courier.push(node, delivery)

    def _send(self, node: str, resource: str, content: dict[str, Any]) -> None:
        head = {"event_id": new_uid(), "timestamp": wire.now_ms()}
        self._courier.send(node, _twin_message(resource, UPDATE, {**head, **content}))


def confirmation(parent_id: str) -> Message:
    """The answer to a report: the node forgets it then."""
    return _twin_message("twin", "response", "OK", parent_id)


def _twin_message(resource: str, operation: str, content: Any, parent_id: str = "") -> Message:
    return wire.new(
        source=SOURCE,
        group="twin",
        operation=operation,
        resource=resource,
        content=content,
        parent_id=parent_id,
    )


def _member(device: Obj) -> Obj:
    namespace, name = key_of(device)
    member: Obj = {"id": f"{namespace}/{name}", "name": name}
    if description := (device["metadata"].get("labels") or {}).get("description", ""):
        member["description"] = description
    if spool := spool_of(device):
        member["spool"] = spool
    return member
