"""The informers that SyncController compares with: those that run anyway, and some when they are needed.

Volumes, claims and attachments are on few nodes: they are followed from the first record that names one.
The original has no informers for them and never finds out that a node's copy is old.
"""

from __future__ import annotations

import asyncio

from edgelab.cloudcore.cluster import Cluster
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.tasks import Supervisor, guard
from edgelab.kube.informer import Informer
from edgelab.kube.interface import KubeApi
from edgelab.kube.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, VOLUME_ATTACHMENTS

ON_DEMAND = {
    (resource.api_version, resource.kind): resource
    for resource in (PERSISTENT_VOLUMES, PERSISTENT_VOLUME_CLAIMS, VOLUME_ATTACHMENTS)
}


class Kinds:
    """A module: owns the informers that were started on demand."""

    name = "synccontroller/kinds"

    def __init__(self, api: KubeApi, cluster: Cluster, clock: Clock = SYSTEM) -> None:
        self._api = api
        self._clock = clock
        self._informers = cluster.by_kind()
        self._owner = Supervisor(self.name)

    async def run(self) -> None:
        """Keep what was started until cancelled."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self._owner.close()

    def informer(self, api_version: str, kind: str) -> Informer | None:
        """The informer of a kind, once it has listed; None for a kind that nobody follows."""
        key = (api_version, kind)
        if key not in self._informers and key in ON_DEMAND:
            informer = Informer(self._api, ON_DEMAND[key], clock=self._clock)
            self._informers[key] = informer
            self._owner.spawn(guard(informer.name, informer.run()), kind)
        found = self._informers.get(key)
        return found if found is not None and found.synced else None
