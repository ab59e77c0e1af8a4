"""IPAddresses of Services: written and removed in the commit that gives or takes the address."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from typing import Any

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.edgesite.apiserver.ranges import ADDRESSES
from edgelab.edgesite.apiserver.registry import Registry
from edgelab.edgesite.store import Ended, Entry, Key, Overrun, Store
from edgelab.objects import metadata as meta

log = logging.getLogger("edgesite.serviceaddresses")

Obj = dict[str, Any]

SERVICES = "services"
FAMILY, MANAGER = "ipaddress.kubernetes.io/ip-family", "ipaddress.kubernetes.io/managed-by"
ALLOCATOR = "ipallocator.k8s.io"


class ServiceAddresses:
    """A module too: puts back what somebody deletes although a Service has the address."""

    name = "serviceaddresses"

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._store: Store = registry.store

    @property
    def _kind(self) -> Kind:
        found = self._registry.kinds.find("networking.k8s.io", "v1", "ipaddresses")
        assert found is not None
        return found

    def follow(self, key: Key, new: Obj | None) -> None:
        """A Service is about to be written, or removed (None)."""
        entry = self._store.head(key)
        before = set() if entry is None else _addresses(codec.decode(entry.data))
        after = set() if new is None else _addresses(new)
        for address in sorted(before - after):
            self._release(key, address)
        for address in sorted(after - before):
            self._take(key, address)

    def _take(self, service: Key, address: str) -> None:
        if self._store.head(Key(ADDRESSES, "", address)) is None:
            _quiet(self._registry.put_own(self._kind, _object(service, address)))

    def _release(self, service: Key, address: str) -> None:
        entry = self._store.head(Key(ADDRESSES, "", address))
        if entry is not None and _owner(codec.decode(entry.data)) == service:
            _quiet(self._registry.drop_own(self._kind, entry))

    def repair(self) -> None:
        """Give every Service the objects that it should have, and remove those of nobody."""
        wanted = {
            address: entry.key
            for entry in self._store.heads(SERVICES)
            for address in _addresses(codec.decode(entry.data))
        }
        for entry in list(self._store.heads(ADDRESSES)):
            obj = codec.decode(entry.data)
            managed = (obj["metadata"].get("labels") or {}).get(MANAGER) == ALLOCATOR
            if managed and wanted.get(entry.key.name) != _owner(obj) and not meta.is_deleting(obj):
                _quiet(self._registry.drop_own(self._kind, entry))
        for address, service in wanted.items():
            self._take(service, address)

    async def run(self) -> None:
        """Follow what happens to the objects until cancelled."""
        while True:
            with self._store.watch_now(ADDRESSES) as watch:
                self.repair()
                try:
                    while True:
                        for event in await watch.events():
                            if event.deleted:
                                self._gone(event.entry)
                except Ended:  # the server stops
                    await asyncio.get_running_loop().create_future()
                except Overrun:
                    log.info("too many changes of addresses at once; looking at all of them again")

    def _gone(self, entry: Entry) -> None:
        service = _owner(codec.decode(entry.data))
        found = self._store.head(service)
        if found is not None and entry.key.name in _addresses(codec.decode(found.data)):
            self._take(service, entry.key.name)


def _addresses(service: Obj) -> set[str]:
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return set()
    return {address for address in spec.get("clusterIPs") or () if address not in ("", "None")}


def _owner(obj: Obj) -> Key:
    parent = (obj.get("spec") or {}).get("parentRef") or {}
    bucket = SERVICES if not parent.get("group") else f"{parent['group']}/"
    return Key(bucket, parent.get("namespace") or "", parent.get("name") or "")


def _object(service: Key, address: str) -> Obj:
    family = f"IPv{ipaddress.ip_address(address).version}"
    parent = {"resource": SERVICES, "namespace": service.namespace, "name": service.name}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {"name": address, "labels": {FAMILY: family, MANAGER: ALLOCATOR}},
        "spec": {"parentRef": parent},
    }


def _quiet(write: asyncio.Future[Entry]) -> None:
    """Nobody waits for it: the write of the Service in the same commit tells of a failure."""
    write.add_done_callback(lambda done: done.cancelled() or done.exception())
