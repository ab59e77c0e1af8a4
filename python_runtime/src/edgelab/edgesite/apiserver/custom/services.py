"""Where services answer, for webhooks: the server is no part of the cluster's network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from edgelab.edgesite.store import Key, Store

if TYPE_CHECKING:
    from edgelab.edgesite.apiserver.custom.converting import Address, Resolve

Obj = dict[str, Any]


def resolver(store: Store) -> Resolve:
    """Finds a ready endpoint of a service, or its address if it has none."""

    def resolve(namespace: str, name: str, port: int) -> Address | None:
        from edgelab.edgesite.apiserver.custom.converting import Address  # noqa: PLC0415

        entry = store.get(Key("services", namespace, name))
        if entry is None:
            return None
        service: Obj = msgspec.json.decode(entry.data)
        wanted: Obj = next((item for item in service["spec"].get("ports") or () if item["port"] == port), {})
        for host, found in _endpoints(store, namespace, name, wanted.get("name") or ""):
            return Address(host, found)
        return Address(str(service["spec"].get("clusterIP") or ""), port)

    return resolve


def _endpoints(store: Store, namespace: str, name: str, port: str) -> Iterator[tuple[str, int]]:
    entry = store.get(Key("endpoints", namespace, name))
    for subset in (msgspec.json.decode(entry.data).get("subsets") or ()) if entry is not None else ():
        for found in subset.get("ports") or ():
            if (found.get("name") or "") == port:
                yield from ((address["ip"], found["port"]) for address in subset.get("addresses") or ())
