"""Where the kubelet of a node listens (`pkg/kubelet/client`, `pkg/util/node`)."""

from __future__ import annotations

from typing import Any, NamedTuple

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.store import Key, Store
from edgelab.objects.status import ApiError, not_found

Obj = dict[str, Any]

KUBELET_PORT = 10250


class Kubelet(NamedTuple):
    """The address that comes first in the order of preference."""

    host: str
    port: int


def kubelet(store: Store, name: str, preferred: tuple[str, ...], plural: str = "nodes") -> Kubelet:
    """The kubelet of a node. Raises ApiError; `plural` is of what is said not to be there."""
    entry = store.get(Key("nodes", "", name))
    if entry is None:
        raise not_found(plural, name)
    status = codec.decode(entry.data).get("status") or {}
    addresses: list[Obj] = status.get("addresses") or []
    by_type = {str(item.get("type")): str(item.get("address")) for item in reversed(addresses)}
    host = next((by_type[wanted] for wanted in preferred if wanted in by_type), None)
    if host is None:
        known = " ".join(f"{{{item.get('type')} {item.get('address')}}}" for item in addresses)
        text = f"no preferred addresses found; known addresses: [{known}]"
        raise ApiError(500, text, reason="")
    endpoint = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
    port = int(endpoint.get("Port") or 0)
    return Kubelet(host, port if port > 0 else KUBELET_PORT)
