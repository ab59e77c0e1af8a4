"""What a node is shown of an object, where that differs from what the API has.

Facts: KubeEdge `cloud/pkg/dynamiccontroller/filter` (docs/reference/metaserver.md).
"""

from __future__ import annotations

from edgelab.kube.interface import Obj

METASERVER = ("127.0.0.1", 10550)
"""Where programs at the edge find the API: in place of the cluster's own address."""


def for_edge(obj: Obj) -> Obj:
    """The EndpointSlice `default/kubernetes` leads to the node's own MetaServer; all else is as it is."""
    metadata = obj.get("metadata") or {}
    if obj.get("kind") != "EndpointSlice" or (metadata.get("namespace"), metadata.get("name")) != (
        "default",
        "kubernetes",
    ):
        return obj
    address, port = METASERVER
    first = [{**end, "addresses": [address]} for end in (obj.get("endpoints") or [])[:1]]
    ports = [{**p, "port": port} if p.get("name") == "https" else p for p in obj.get("ports") or []]
    return {**obj, "endpoints": [*first, *(obj.get("endpoints") or [])[1:]], "ports": ports}
