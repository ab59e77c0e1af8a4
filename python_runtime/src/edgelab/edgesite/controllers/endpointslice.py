"""EndpointSlices of Services (pkg/controller/endpointslice).

Receives Services, pods and slices; writes slices of at most 100 endpoints, one set for each address
family and set of ports. An endpoint that has a place keeps it.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.kinds import ENDPOINT_SLICES
from edgelab.edgesite.controllers.support.service_pods import (
    Backend,
    EndpointPort,
    backends,
    family,
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
from edgelab.kube.resources import NODES, PODS, SERVICES
from edgelab.objects.metadata import is_deleting, labels, owner_reference

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
HEADLESS = "service.kubernetes.io/headless"
ZONE = "topology.kubernetes.io/zone"
MOST = 100


class EndpointSliceController:
    """A module; its queue holds the keys of Services."""

    name = "endpointslice-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._services = cluster.view(SERVICES)
        self._pods = cluster.view(PODS)
        self._nodes = cluster.view(NODES)
        self._slices = cluster.view(ENDPOINT_SLICES)
        self._triggers = Triggers()
        self._queue = service_queue(cluster, self.name, ENDPOINT_SLICES, SERVICE_NAME, self._reconcile)

    async def run(self) -> None:
        """Keep the slices."""
        await self._queue.run()

    async def _reconcile(self, key: Key) -> None:
        service = self._services.get(key[1], key[0])
        mine = [s for s in self._slices.in_namespace(key[0]) if _is_mine(s, key[1])]
        if service is None:
            self._triggers.forget(key)
            await self._apply(None, [], mine, None)
        elif is_managed(service) and not is_deleting(service):
            pods = selected(service, self._pods.in_namespace(key[0]))
            time = self._triggers.changed(key, service, pods)
            await self._apply(service, list(self._wanted(service, pods)), mine, time)

    def _wanted(self, service: Obj, pods: list[Obj]) -> Iterator[Obj]:
        """Slices without names."""
        chosen = backends(service, pods)
        marks = {**labels(service), SERVICE_NAME: service["metadata"]["name"], MANAGED_BY: MANAGER}
        if service["spec"].get("clusterIP") == "None":
            marks[HEADLESS] = ""
        for kind in service["spec"].get("ipFamilies") or ["IPv4"]:
            groups: dict[tuple[object, ...], list[Backend]] = {}
            for backend in chosen:
                if any(family(address) == kind for address in backend.addresses):
                    groups.setdefault(backend.ports, []).append(backend)
            for members in groups.values() or [[]]:
                for start in range(0, max(1, len(members)), MOST):
                    part = members[start : start + MOST]
                    yield {
                        "addressType": kind,
                        "endpoints": [self._endpoint(service, backend, kind) for backend in part],
                        "ports": [_port(port) for port in (part[0].ports if part else ())],
                        "labels": marks,
                    }

    def _endpoint(self, service: Obj, backend: Backend, kind: str) -> Obj:
        endpoint: Obj = {
            "addresses": [address for address in backend.addresses if family(address) == kind],
            "conditions": {
                "ready": backend.ready,
                "serving": backend.serving,
                "terminating": backend.terminating,
            },
            "targetRef": reference(backend.pod),
        }
        if own := hostname(service, backend.pod):
            endpoint["hostname"] = own
        if name := backend.pod["spec"].get("nodeName"):
            endpoint["nodeName"] = name
            node = self._nodes.get(name)
            if node is not None and ZONE in labels(node):
                endpoint["zone"] = labels(node)[ZONE]
        return endpoint

    async def _apply(self, service: Obj | None, wanted: list[Obj], mine: list[Obj], time: str | None) -> None:
        """Keep the slices that are right, change as many as possible, then create or delete."""
        spare = list(mine)
        missing = []
        for content in wanted:
            right = next((s for s in spare if _content(s) == content), None)
            if right is not None:
                spare.remove(right)
            else:
                missing.append(content)
        for content in missing:
            fitting = next((s for s in spare if s["addressType"] == content["addressType"]), None)
            if fitting is not None:
                spare.remove(fitting)
                await self._cluster.update(ENDPOINT_SLICES, _with(fitting, content, time))
            elif service is not None:
                await self._cluster.create(ENDPOINT_SLICES, _made(service, content, time))
        for surplus in spare:
            await self._cluster.delete(ENDPOINT_SLICES, surplus)


def _port(port: EndpointPort) -> Obj:
    """As slices write it: the name also when it is empty."""
    return {**port_object(port), "name": port.name}


def _is_mine(found: Obj, service: str) -> bool:
    present = labels(found)
    return present.get(SERVICE_NAME) == service and present.get(MANAGED_BY) == MANAGER


def _content(found: Obj) -> Obj:
    return {
        "addressType": found["addressType"],
        "endpoints": found.get("endpoints") or [],
        "ports": found.get("ports") or [],
        "labels": labels(found),
    }


def _with(found: Obj, content: Obj, time: str | None) -> Obj:
    metadata = with_time({**found["metadata"], "labels": content["labels"]}, time)
    return {**found, "metadata": metadata, "endpoints": content["endpoints"], "ports": content["ports"]}


def _made(service: Obj, content: Obj, time: str | None) -> Obj:
    metadata = {
        "generateName": f"{service['metadata']['name']}-",
        "namespace": service["metadata"]["namespace"],
        "labels": content["labels"],
        "ownerReferences": [owner_reference({"apiVersion": "v1", "kind": "Service", **service})],
    }
    return {
        "metadata": with_time(metadata, time),
        **{key: content[key] for key in ("addressType", "endpoints", "ports")},
    }
