"""DeviceStatus objects: made where they are missing, and patched in the version that was looked at.

`status.twins` is replaced as a whole by every patch, so a patch carries the version that it was made for:
one that crosses another writer's (a second CloudCore, a person) is made anew out of what that one left.
"""

from __future__ import annotations

from collections.abc import Callable

from edgelab.cloudcore.devicecontroller.downstream import node_of
from edgelab.kube.informer import DELETED, Informer, Key
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import DEVICE_STATUSES, DEVICES
from edgelab.objects.metadata import key_of, owner_reference
from edgelab.objects.status import ApiError

NODE_LABEL = "edgelab.io/node"
"""On a DeviceStatus: the node of its device (shown by kubectl, read by the twin exporter)."""
ATTEMPTS = 5
OF_OLDER_RELEASES = ("twins", "state", "lastOnlineTime")
"""Fields of `Device.status` up to KubeEdge 1.22, taken over when a DeviceStatus is made."""


class Statuses:
    """All of them, with what was written here and the informer has not shown yet."""

    def __init__(self, api: KubeApi, informer: Informer) -> None:
        self._api = api
        self._informer = informer
        self._written: dict[Key, Obj] = {}

    def start(self) -> None:
        """Follow the informer, to forget what it has."""
        self._informer.add_handler(self._seen)

    def known(self, key: Key) -> Obj | None:
        """The newest version known here."""
        return self._written.get(key) or self._informer.store.get(key)

    async def change(self, key: Key, device: Obj, make: Callable[[Obj], Obj]) -> None:
        """Patch with what `make(status)` gives, which may be nothing. Raises ApiError and Unreachable."""
        status = self.known(key) or await self._make(key, device)
        for attempt in range(1, ATTEMPTS + 1):
            body = make(status)
            if not body:
                return
            version = status["metadata"].get("resourceVersion")
            body = {**body, "metadata": {**body.get("metadata", {}), "resourceVersion": version}}
            try:
                self._remember(key, await self._api.patch(DEVICE_STATUSES, key[1], body, key[0]))
            except ApiError as error:
                self._written.pop(key, None)
                if error.code not in (404, 409) or attempt == ATTEMPTS:
                    raise
                gone = error.code == 404
                status = await (self._make(key, device) if gone else self._read(key))
            else:
                return

    async def _make(self, key: Key, device: Obj) -> Obj:
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
        before = device.get("status") or {}
        if taken := {field: before[field] for field in OF_OLDER_RELEASES if before.get(field)}:
            body["status"] = taken
        try:
            return await self._api.create(DEVICE_STATUSES, body, key[0])
        except ApiError as error:
            if error.code != 409:
                raise
            return await self._read(key)

    async def _read(self, key: Key) -> Obj:
        return await self._api.get(DEVICE_STATUSES, key[1], key[0])

    def _remember(self, key: Key, status: Obj) -> None:
        if _version(status) > _version(self._informer.store.get(key)):
            self._written[key] = status

    def _seen(self, event: str, _old: Obj | None, status: Obj) -> None:
        key = key_of(status)
        if event == DELETED or _version(status) >= _version(self._written.get(key)):
            self._written.pop(key, None)


def _version(status: Obj | None) -> int:
    text = str(((status or {}).get("metadata") or {}).get("resourceVersion") or "")
    return int(text) if text.isdecimal() else 0
