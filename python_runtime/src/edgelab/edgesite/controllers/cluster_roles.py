"""Aggregated ClusterRoles: their rules are those of the roles that they select (`clusterroleaggregation`).

Receives cluster roles; writes the rules of those with an `aggregationRule`.
"""

from __future__ import annotations

from edgelab.edgesite.apiserver.access.policy import gathered
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.kube.informer import Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import CLUSTER_ROLES


class ClusterRoleAggregationController:
    """A module; its queue holds the names of aggregated roles."""

    name = "clusterrole-aggregation-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._roles = cluster.view(CLUSTER_ROLES)
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, [self._roles])
        self._roles.add_handler(self._on_role)

    async def run(self) -> None:
        """Keep the rules."""
        await self._queue.run()

    def _on_role(self, event_type: str, old: Obj | None, new: Obj) -> None:
        """Which roles select this one is not known without asking each: there are few of them."""
        for role in self._roles.all():
            if role.get("aggregationRule"):
                self._queue.add_object(role)

    async def _reconcile(self, key: Key) -> None:
        role = self._roles.get(key[1])
        if role is None or not role.get("aggregationRule"):
            return
        rules = gathered(role, self._roles.all())
        if rules != (role.get("rules") or []):
            await self._cluster.update(CLUSTER_ROLES, {**role, "rules": rules or None})
