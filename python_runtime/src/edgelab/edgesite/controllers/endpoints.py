"""Endpoints of Services (pkg/controller/endpoint).

Receives Services and pods; writes an Endpoints object of the Service's name. Services without a
selector are left to whoever writes their endpoints by hand.
"""

from __future__ import annotations

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.recorder import Recorder
from edgelab.edgesite.controllers.support.service_pods import (
    Backend,
    EndpointPort,
    backends,
    hostname,
    is_managed,
    port_object,
    reference,
    selected,
)
from edgelab.edgesite.controllers.support.service_queue import service_queue
from edgelab.edgesite.controllers.support.triggers import Triggers, with_time
from edgelab.kube.informer import Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import ENDPOINTS, PODS, SERVICES
from edgelab.objects.metadata import is_deleting, labels
from edgelab.objects.status import ApiError

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
        self._triggers = Triggers()
        self._events = Recorder(cluster.api, cluster.clock, self.name)
        self._queue = service_queue(cluster, self.name, ENDPOINTS, "", self._reconcile)

    async def run(self) -> None:
        """Keep the endpoints."""
        await self._queue.run()

    async def _reconcile(self, key: Key) -> None:
        service, current = self._services.get(key[1], key[0]), self._endpoints.get(key[1], key[0])
        if service is None or is_deleting(service):
            self._triggers.forget(key)
            if current is not None and service is None:
                await self._cluster.delete(ENDPOINTS, current)
            return
        if not is_managed(service):
            return
        pods = selected(service, self._pods.in_namespace(key[0]))
        time = self._triggers.changed(key, service, pods)
        wanted = subsets(service, backends(service, pods))
        marks = {**labels(service), MANAGED_BY: self.name}
        if service["spec"].get("clusterIP") == "None":
            marks[HEADLESS] = ""
        if current is None:
            metadata = with_time({"name": key[1], "labels": marks}, time)
            await self._create(service, {"metadata": metadata, **({"subsets": wanted} if wanted else {})})
        elif (current.get("subsets") or []) != wanted or labels(current) != marks:
            metadata = with_time({**current["metadata"], "labels": marks}, time)
            await self._cluster.update(ENDPOINTS, {**current, "metadata": metadata, "subsets": wanted})

    async def _create(self, service: Obj, made: Obj) -> None:
        namespace, name = service["metadata"]["namespace"], service["metadata"]["name"]
        try:
            await self._cluster.create(ENDPOINTS, made, namespace)
        except ApiError as error:
            if error.code == 403 and "being terminated" in error.message:
                return
            text = f"Failed to create endpoint for service {namespace}/{name}: {error.message}"
            await self._events.warning(
                {**made, "apiVersion": "v1", "kind": "Endpoints"}, "FailedToCreateEndpoint", text
            )
            raise


def subsets(service: Obj, chosen: list[Backend]) -> list[Obj]:
    """Addresses grouped by their ports, ready ones apart from the others."""
    groups: dict[tuple[EndpointPort, ...], dict[bool, list[Obj]]] = {}
    for backend in chosen:
        if backend.terminating and not backend.ready:
            continue
        address: Obj = {"ip": backend.addresses[0], "targetRef": reference(backend.pod)}
        if node := backend.pod["spec"].get("nodeName"):
            address["nodeName"] = node
        if name := hostname(service, backend.pod):
            address["hostname"] = name
        groups.setdefault(backend.ports, {}).setdefault(backend.ready, []).append(address)
    made = []
    for ports, addresses in sorted(groups.items(), key=lambda group: str(group[0])):
        subset: Obj = {}
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            if ready in addresses:
                subset[field] = sorted(addresses[ready], key=lambda item: str(item["ip"]))
        if ports:
            subset["ports"] = [port_object(port) for port in ports]
        made.append(subset)
    return made
