"""Services whose endpoints are for nodes of the same node group only.

Facts: KubeEdge `cloud/pkg/dynamiccontroller/filter/endpointresource`: annotation
`apps.kubeedge.io/service-topology: range-nodegroup` of Services, `apps.kubeedge.io/belonging-to` of nodes.
Receives: Services (their annotations only) from an informer of its own, which starts when endpoints are first
asked for. Nodes outside all groups are a group of their own.
"""

from __future__ import annotations

from collections.abc import Callable

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.tasks import Supervisor, guard
from edgelab.kube.informer import Informer
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import SERVICES
from edgelab.objects.edgeapps.names import BELONGING_TO, NODE_GROUP, SERVICE_TOPOLOGY
from edgelab.objects.metadata import labels
from edgelab.protocol.content.applications import Key

SERVICE_NAME = "kubernetes.io/service-name"
KINDS = frozenset({("", "endpoints"), ("discovery.k8s.io", "endpointslices")})


class Topology:
    """`shown(node, object)` is what a node gets to see. `node_of(name)` finds a Node."""

    def __init__(self, api: KubeApi, node_of: Callable[[str], Obj | None], clock: Clock = SYSTEM) -> None:
        self._services = Informer(api, SERVICES, transform=_annotations, clock=clock)
        self._node_of = node_of
        self._owner = Supervisor("dynamiccontroller/topology")
        self._started = False

    async def prepare(self, key: Key) -> None:
        """Wait until the Services are known, if the request is about endpoints."""
        if (key.group, key.resource) not in KINDS:
            return
        if not self._started:
            self._started = True
            self._owner.spawn(guard("services", self._services.run()), "services")
        await self._services.wait_synced()

    async def close(self) -> None:
        """End the informer."""
        await self._owner.close()

    def shown(self, node: str, obj: Obj) -> Obj:
        """The object without the endpoints of other groups; anything but endpoints as it is."""
        kind, metadata = obj.get("kind"), obj.get("metadata") or {}
        if kind not in ("Endpoints", "EndpointSlice"):
            return obj
        name = metadata.get("name") if kind == "Endpoints" else labels(obj).get(SERVICE_NAME)
        service = self._services.store.get((metadata.get("namespace") or "", name or ""))
        if (
            service is None
            or (service["metadata"].get("annotations") or {}).get(SERVICE_TOPOLOGY) != NODE_GROUP
        ):
            return obj
        group = self._group(node)
        if kind == "EndpointSlice":
            kept = [end for end in obj.get("endpoints") or [] if self._group(end.get("nodeName")) == group]
            return {**obj, "endpoints": kept}
        return {**obj, "subsets": [self._subset(subset, group) for subset in obj.get("subsets") or []]}

    def _subset(self, subset: Obj, group: str) -> Obj:
        kept: Obj = {
            field: [one for one in subset[field] or [] if self._group(one.get("nodeName")) == group]
            for field in ("addresses", "notReadyAddresses")
            if field in subset
        }
        return {**subset, **kept}

    def _group(self, node: str | None) -> str:
        return labels(self._node_of(node or "") or {}).get(BELONGING_TO, "")


def _annotations(service: Obj) -> Obj:
    metadata = service["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "annotations")
    return {"metadata": {field: metadata[field] for field in kept if field in metadata}}
