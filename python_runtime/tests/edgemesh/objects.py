"""Services and EndpointSlices as an API server gives them, and tables made of them."""

from __future__ import annotations

from typing import Any

from edgelab.edgemesh.table import SERVICE_OF_SLICE, Table

Obj = dict[str, Any]


def service(name: str, ip: str = "10.96.0.10", *, namespace: str = "default", **spec: Any) -> Obj:
    ports = spec.pop("ports", [{"name": "http", "port": 18050, "protocol": "TCP"}])
    labels = spec.pop("labels", {})
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": ports, **spec},
    }


def member(ip: str, node: str | None = "edge1", **more: Any) -> Obj:
    conditions = {"ready": True, "serving": True, **more.pop("conditions", {})}
    return {"addresses": [ip], "nodeName": node, "conditions": conditions, **more}


def endpoint_slice(owner: str, *members: Obj, name: str = "", ports: list[Obj] | None = None) -> Obj:
    return {
        "metadata": {
            "name": name or f"{owner}-abcde",
            "namespace": "default",
            "labels": {SERVICE_OF_SLICE: owner},
        },
        "addressType": "IPv4",
        "endpoints": list(members),
        "ports": ports or [{"name": "http", "port": 80, "protocol": "TCP"}],
    }


def table_of(*objects: Obj, node: str = "edge1", **options: Any) -> Table:
    table = Table(node, **options)
    for obj in objects:
        changed = table.slice_changed if "addressType" in obj else table.service_changed
        changed("ADDED", None, obj)
    table.synced()
    return table
