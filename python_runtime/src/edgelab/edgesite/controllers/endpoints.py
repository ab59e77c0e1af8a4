"""Endpoints of Services (pkg/controller/endpoint).

Receives Services and pods; writes an Endpoints object of the Service's name. Services without a
selector are left to whoever writes their endpoints by hand.
"""

from __future__ import annotations

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.service_pods import (
    Backend,
    EndpointPort,
    backends,
    is_managed,
    port_object,
    reference,
)
from edgelab.edgesite.controllers.support.service_queue import service_queue
from edgelab.kube.informer import Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import ENDPOINTS, PODS, SERVICES
from edgelab.objects.metadata import is_deleting, labels

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
HEADLESS = "service.kubernetes.io/headless"


class EndpointsController:
    """A module; its queue holds the keys of Services."""

    name = "endpoint-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._services = cluster.view(SERVICES)
        self._pods = cluster.view(PODS)
        self._endpoints = cluster.view(ENDPOINTS)
        self._queue = service_queue(cluster, self.name, ENDPOINTS, "", self._reconcile)

    async def run(self) -> None:
        """Keep the endpoints."""
        await self._queue.run()

    async def _reconcile(self, key: Key) -> None:
        service, current = self._services.get(key[1], key[0]), self._endpoints.get(key[1], key[0])
        if service is None or is_deleting(service):
            if current is not None and labels(current).get(MANAGED_BY) == self.name:
                await self._cluster.delete(ENDPOINTS, current)
            return
        if not is_managed(service):
            return
        wanted = subsets(backends(service, self._pods.in_namespace(key[0])))
        marks = {**labels(service), MANAGED_BY: self.name}
        if service["spec"].get("clusterIP") == "None":
            marks[HEADLESS] = ""
        if current is None:
            made = {"metadata": {"name": key[1], "labels": marks}, **({"subsets": wanted} if wanted else {})}
            await self._cluster.create(ENDPOINTS, made, key[0])
        elif (current.get("subsets") or []) != wanted or labels(current) != marks:
            metadata = {**current["metadata"], "labels": marks}
            await self._cluster.update(ENDPOINTS, {**current, "metadata": metadata, "subsets": wanted})


def subsets(chosen: list[Backend]) -> list[Obj]:
    """Addresses grouped by their ports, ready ones apart from the others."""
    groups: dict[tuple[EndpointPort, ...], dict[bool, list[Obj]]] = {}
    for backend in chosen:
        if backend.terminating and not backend.ready:
            continue
        address: Obj = {"ip": backend.addresses[0], "targetRef": reference(backend.pod)}
        if node := backend.pod["spec"].get("nodeName"):
            address["nodeName"] = node
        if hostname := backend.pod["spec"].get("hostname"):
            address["hostname"] = hostname
        groups.setdefault(backend.ports, {}).setdefault(backend.ready, []).append(address)
    made = []
    for ports, addresses in sorted(groups.items(), key=lambda group: str(group[0])):
        subset: Obj = {}
        for name, ready in (("addresses", True), ("notReadyAddresses", False)):
            if ready in addresses:
                subset[name] = sorted(addresses[ready], key=lambda item: str(item["ip"]))
        if ports:
            subset["ports"] = [port_object(port) for port in ports]
        made.append(subset)
    return made
