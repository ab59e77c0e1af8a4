"""What a cluster begins with: namespaces, default roles and bindings, priority classes, `kubernetes`."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from typing import Any

from edgelab.daemon.errors import Fatal
from edgelab.edgesite.apiserver import apiservices, codec
from edgelab.edgesite.apiserver.access import policy
from edgelab.edgesite.apiserver.context import Context
from edgelab.edgesite.apiserver.registry import Registry
from edgelab.edgesite.store import StoreFailed
from edgelab.objects.status import ApiError

log = logging.getLogger("edgesite.bootstrap")

Obj = dict[str, Any]

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")


def _priority_classes() -> list[Obj]:
    classes = (("system-node-critical", 2000001000), ("system-cluster-critical", 2000000000))
    version = "scheduling.k8s.io/v1"
    return [
        {"apiVersion": version, "kind": "PriorityClass", "metadata": {"name": name}, "value": value}
        for name, value in classes
    ]


async def bootstrap(
    registry: Registry, network: ipaddress.IPv4Network, addresses: list[str], port: int, ca_pem: str = ""
) -> None:
    """Create what is missing; what is there stays as its owner left it, but roles get what they lack."""
    names = ({"name": name} for name in NAMESPACES)
    await _ensure_all(
        registry, [{"apiVersion": "v1", "kind": "Namespace", "metadata": name} for name in names]
    )
    await _ensure_all(registry, [*_priority_classes(), _range(network)])
    await _ensure(registry, _service(network))
    await _ensure_policy(registry)
    await apiservices.announce(registry)
    reachable = [address for address in addresses if not ipaddress.ip_address(address).is_loopback]
    endpoints = _endpoints(reachable, port) if reachable else []
    for obj in (*endpoints, _authentication(ca_pem)):
        await _ensure(registry, obj, replace=True)


async def _ensure_all(registry: Registry, objects: list[Obj]) -> None:
    """All of them in one commit."""
    async with asyncio.TaskGroup() as group:
        for obj in objects:
            group.create_task(_ensure(registry, obj), name=f"bootstrap/{obj['metadata']['name']}")


async def _ensure_policy(registry: Registry) -> None:
    """Roles first: what is bound must be there."""
    wanted = list(policy.objects())
    for bindings in (False, True):
        async with asyncio.TaskGroup() as group:
            for obj in wanted:
                if ("roleRef" in obj) is bindings:
                    group.create_task(_reconcile(registry, obj), name=f"bootstrap/{obj['metadata']['name']}")


async def _reconcile(registry: Registry, wanted: Obj) -> None:
    kind = registry.kinds.by_kind(wanted["apiVersion"], wanted["kind"])
    assert kind is not None
    namespace, name = wanted["metadata"].get("namespace", ""), wanted["metadata"]["name"]
    entry = registry.store.get(registry.key(kind, namespace, name))
    try:
        if entry is None:
            await registry.create(kind, namespace, wanted, Context())
            return
        new = policy.reconciled(codec.decode(entry.data), wanted)
        if new is wanted:
            await registry.delete(kind, namespace, name, {}, Context())
            await registry.create(kind, namespace, wanted, Context())
        elif new is not None:
            await registry.update(kind, namespace, name, new, Context())
    except ApiError as error:
        raise RuntimeError(f"cannot bootstrap {kind.name} {name}: {error}") from error


def _range(network: ipaddress.IPv4Network) -> Obj:
    """Where Services get their addresses from (controller `defaultservicecidr`)."""
    version, spec = "networking.k8s.io/v1", {"cidrs": [str(network)]}
    return {"apiVersion": version, "kind": "ServiceCIDR", "metadata": {"name": "kubernetes"}, "spec": spec}


def _service(network: ipaddress.IPv4Network) -> Obj:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "clusterIP": str(network[1]),
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}],
        },
    }


def _authentication(ca_pem: str) -> Obj:
    """By what other servers of the cluster's API know clients (controller `clusterauthenticationtrust`)."""
    metadata = {"name": "extension-apiserver-authentication", "namespace": "kube-system"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"client-ca-file": ca_pem}}


def _endpoints(addresses: list[str], port: int) -> list[Obj]:
    metadata = {"name": "kubernetes", "namespace": "default"}
    labels = {"kubernetes.io/service-name": "kubernetes"}
    return [
        {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {**metadata, "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [
                {
                    "addresses": [{"ip": address} for address in addresses],
                    "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
                }
            ],
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {**metadata, "labels": labels},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in addresses],
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        },
    ]


async def _ensure(registry: Registry, obj: Obj, *, replace: bool = False) -> None:
    kind = registry.kinds.by_kind(obj["apiVersion"], obj["kind"])
    assert kind is not None
    metadata = obj["metadata"]
    namespace, name = metadata.get("namespace", ""), metadata["name"]
    present = registry.store.get(registry.key(kind, namespace, name)) is not None
    try:
        if not present:
            await registry.create(kind, namespace, obj, Context())
        elif replace:
            await registry.update(kind, namespace, name, obj, Context())
    except StoreFailed as error:
        if not present:
            raise Fatal(f"cannot start: {error}") from error
        log.error("%s %s stays as it is: %s", kind.name, name, error)  # reads are worth more
    except ApiError as error:
        raise RuntimeError(f"cannot bootstrap {kind.name} {name}: {error}") from error
