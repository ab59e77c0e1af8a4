"""The informers that SyncController compares with: those that run anyway, and some when they are needed.

Volumes, claims and attachments are on few nodes: they are followed from the first record that names one.
The original has no informers for them and never finds out that a node's copy is old.
"""

from __future__ import annotations

from edgelab.cloudcore.cluster import Cluster
from edgelab.cloudcore.ondemand import OnDemand
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.kube.informer import Informer
from edgelab.kube.interface import KubeApi
from edgelab.kube.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, VOLUME_ATTACHMENTS

ON_DEMAND = {
    (resource.api_version, resource.kind): resource
    for resource in (PERSISTENT_VOLUMES, PERSISTENT_VOLUME_CLAIMS, VOLUME_ATTACHMENTS)
}


class Kinds(OnDemand):
    """A module: owns the informers that were started on demand."""

    name = "synccontroller/kinds"

    def __init__(self, api: KubeApi, cluster: Cluster, clock: Clock = SYSTEM) -> None:
        super().__init__(api, clock)
        self._informers = cluster.by_kind()

    def informer(self, api_version: str, kind: str) -> Informer | None:
        """The informer of a kind, once it has listed; None for a kind that nobody follows."""
        key = (api_version, kind)
        if key not in self._informers and key in ON_DEMAND:
            self._informers[key] = self.start(ON_DEMAND[key])
        found = self._informers.get(key)
        return found if found is not None and found.synced else None
