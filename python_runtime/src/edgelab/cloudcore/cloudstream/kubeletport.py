"""Where the API server finds a node's kubelet, written into the Node's status (docs/reference/streams.md).

An address of type InternalDNS, because no node of ours has one of its own: InternalIP and Hostname stay true
for everything that reaches the node itself (pod networks, `hostIP`, people), and an API server that prefers
InternalDNS to them finds CloudCore, and an ordinary kubelet's node, which has none, as before.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Obj = dict[str, Any]

ADDRESS_TYPE = "InternalDNS"


class Endpoint(NamedTuple):
    """`address` is empty where only the port is published."""

    address: str
    port: int


def endpoint_in(node: Obj) -> Endpoint | None:
    """What a Node says; None when it says nothing of CloudStream."""
    status = node.get("status") or {}
    address = next(
        (item["address"] for item in status.get("addresses") or () if item.get("type") == ADDRESS_TYPE), ""
    )
    return Endpoint(str(address), port_in(status)) if address else None


def port_in(status: Obj) -> int:
    """The kubelet's port; 0 when there is none."""
    return int(((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port") or 0)


def patch_of(endpoint: Endpoint) -> Obj:
    """A strategic merge patch of a Node's status."""
    status: Obj = {"daemonEndpoints": {"kubeletEndpoint": {"Port": endpoint.port}}}
    if endpoint.address:
        status["addresses"] = [{"type": ADDRESS_TYPE, "address": endpoint.address}]
    return {"status": status}


def with_endpoint(status: Obj, endpoint: Endpoint) -> Obj:
    """A node's own status, or its strategic merge patch, as it shall go on to the API server.

    Nodes report the port of their own kubelet, and the original's take addresses away that they do not know.
    """
    changed = dict(status)
    if "daemonEndpoints" in status:
        changed["daemonEndpoints"] = {"kubeletEndpoint": {"Port": endpoint.port}}
    if endpoint.address and "addresses" in status:
        others = [item for item in status["addresses"] or () if item.get("type") != ADDRESS_TYPE]
        changed["addresses"] = [*others, {"type": ADDRESS_TYPE, "address": endpoint.address}]
    order = "$setElementOrder/addresses"
    if endpoint.address and order in status:
        kept = [item for item in status[order] or () if item.get("type") != ADDRESS_TYPE]
        changed[order] = [*kept, {"type": ADDRESS_TYPE}]
    return changed
