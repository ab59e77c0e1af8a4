"""The relay with what it has to know: endpoints, followed from the first agent on."""

from __future__ import annotations

from edgelab.cloudcore.cluster import EDGE_LABEL, Cluster
from edgelab.cloudcore.meshrelay.endpoints import Endpoints
from edgelab.cloudcore.meshrelay.relay import MeshConnection, MeshRelay
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.tasks import Supervisor, guard
from edgelab.kube.informer import Informer
from edgelab.kube.interface import KubeApi
from edgelab.kube.resources import ENDPOINT_SLICES, NODES
from edgelab.objects.metadata import labels


class Mesh:
    """Owned by CloudStream, on whose port agents come: `close` it with that."""

    def __init__(self, api: KubeApi, cluster: Cluster, clock: Clock = SYSTEM) -> None:
        def is_edge(node: str) -> bool:
            found = cluster[NODES].store.get(("", node))
            return found is not None and EDGE_LABEL in labels(found)

        self._endpoints = Endpoints(is_edge)
        self._slices = Informer(api, ENDPOINT_SLICES, clock=clock)
        self._owner = Supervisor("meshrelay")
        self._started = False
        self.relay = MeshRelay(self._endpoints.may_dial)

    async def serve(self, connection: MeshConnection) -> None:
        """Do what an agent's connection is for, until it is over."""
        if not self._started:
            self._started = True
            self._slices.add_handler(self._endpoints.slice_changed)
            self._owner.spawn(guard(self._slices.name, self._slices.run()), "endpointslices")
        await self.relay.serve(connection)

    async def close(self) -> None:
        """End the informer."""
        await self._owner.close()
