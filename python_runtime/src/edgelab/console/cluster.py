"""What the API server tells, followed by watches, as rows on the board.

Receives: events of informers. A node's row is made of Node and Lease, a device's of Device, DeviceStatus
and DeviceModel: each of them that changes makes the row anew. While the API server is gone the last rows
stay, and `troubles` says so.
"""

from __future__ import annotations

from edgelab.console import rows, trimming
from edgelab.console.board import Board
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.kube import resources
from edgelab.kube.informer import DELETED, Informer
from edgelab.kube.interface import KubeApi, Obj
from edgelab.objects.metadata import key_of


class Cluster:
    """Six informers and the board that they fill; run `informers`."""

    def __init__(self, api: KubeApi, board: Board, clock: Clock = SYSTEM) -> None:
        self._board = board
        self._nodes = Informer(api, resources.NODES, transform=trimming.NODE, clock=clock)
        self._leases = Informer(
            api, resources.LEASES, resources.LEASE_NAMESPACE, transform=trimming.LEASE, clock=clock
        )
        self._pods = Informer(api, resources.PODS, transform=trimming.POD, clock=clock)
        self._devices = Informer(api, resources.DEVICES, transform=trimming.DEVICE, clock=clock)
        self._statuses = Informer(api, resources.DEVICE_STATUSES, transform=trimming.STATUS, clock=clock)
        self._models = Informer(api, resources.DEVICE_MODELS, transform=trimming.MODEL, clock=clock)
        self._nodes.add_handler(lambda _event, _old, node: self._node(node["metadata"]["name"]))
        self._leases.add_handler(lambda _event, _old, lease: self._node(lease["metadata"]["name"]))
        self._pods.add_handler(self._pod)
        self._devices.add_handler(lambda _event, _old, device: self._device(key_of(device)))
        self._statuses.add_handler(lambda _event, _old, status: self._device(key_of(status)))
        self._models.add_handler(self._model)

    @property
    def informers(self) -> list[Informer]:
        """What has to run."""
        return [self._nodes, self._leases, self._pods, self._models, self._devices, self._statuses]

    def troubles(self) -> list[tuple[str, str]]:
        """Collections that are not followed now, and why."""
        return [
            (informer.resource.plural, informer.last_error or "not listed yet")
            for informer in self.informers
            if informer.last_error or not informer.synced
        ]

    def _node(self, name: str) -> None:
        node = self._nodes.store.get(("", name))
        lease = self._leases.store.get((resources.LEASE_NAMESPACE, name))
        self._board.put(("nodes", name), rows.node_row(node, lease) if node else None)

    def _pod(self, event: str, _old: Obj | None, pod: Obj) -> None:
        name = "/".join(key_of(pod))
        self._board.put(("pods", name), None if event == DELETED else rows.pod_row(pod))

    def _device(self, key: tuple[str, str]) -> None:
        device = self._devices.store.get(key)
        row = None
        if device is not None:
            model = self._models.store.get((key[0], _model_of(device)))
            row = rows.device_row(device, self._statuses.store.get(key), model)
        self._board.put(("devices", "/".join(key)), row)

    def _model(self, _event: str, _old: Obj | None, model: Obj) -> None:
        namespace, name = key_of(model)
        for key, device in self._devices.store.items():
            if (key[0], _model_of(device)) == (namespace, name):
                self._device(key)


def _model_of(device: Obj) -> str:
    reference: Obj = (device.get("spec") or {}).get("deviceModelRef") or {}
    return reference.get("name") or ""
