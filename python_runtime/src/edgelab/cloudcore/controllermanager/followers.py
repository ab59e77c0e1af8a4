"""Informers of the kinds that applications make, each from the first object of its kind on."""

from __future__ import annotations

from collections.abc import Callable

from edgelab.cloudcore.cluster import Cluster
from edgelab.cloudcore.ondemand import OnDemand
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.kube.informer import Informer, Key
from edgelab.kube.interface import KubeApi, Obj, Resource
from edgelab.objects.metadata import controller_of


class Followers(OnDemand):
    """A module: owns the informers. `changed` is told the key of the application that owns what changed."""

    name = "controllermanager/followers"

    def __init__(
        self, api: KubeApi, cluster: Cluster, changed: Callable[[Key], None], clock: Clock = SYSTEM
    ) -> None:
        super().__init__(api, clock)
        self._cluster = {informer.resource: informer for informer in cluster}
        self._changed = changed
        self._informers: dict[Resource, Informer] = {}

    async def follow(self, resource: Resource) -> Informer:
        """The informer of a kind, once it has listed."""
        informer = self._informers.get(resource)
        if informer is None:
            informer = self._cluster.get(resource) or self.start(resource)
            self._informers[resource] = informer
            informer.add_handler(self._seen)
        await informer.wait_synced()
        return informer

    def _seen(self, _event: str, _old: Obj | None, obj: Obj) -> None:
        owner = controller_of(obj)
        if owner is not None and owner["kind"] == "EdgeApplication":
            self._changed((obj["metadata"].get("namespace") or "", owner["name"]))
