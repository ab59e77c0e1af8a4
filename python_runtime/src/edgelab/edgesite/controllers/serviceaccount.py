"""A service account `default` in every namespace (pkg/controller/serviceaccount).

Receives namespaces and service accounts; creates what is missing, also when somebody deletes it.
"""

from __future__ import annotations

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.kube.informer import DELETED, Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import NAMESPACES, SERVICE_ACCOUNTS
from edgelab.objects.metadata import is_deleting
from edgelab.objects.status import ApiError

DEFAULT = "default"


class ServiceAccountController:
    """A module; its queue holds the keys of namespaces."""

    name = "serviceaccount-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._namespaces = cluster.view(NAMESPACES)
        self._accounts = cluster.view(SERVICE_ACCOUNTS)
        needs = [self._namespaces, self._accounts]
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, needs)
        self._namespaces.add_handler(lambda _, __, new: self._queue.add_object(new))
        self._accounts.add_handler(self._on_account)

    async def run(self) -> None:
        """Keep the accounts."""
        await self._queue.run()

    def _on_account(self, event_type: str, old: Obj | None, new: Obj) -> None:
        if event_type == DELETED and new["metadata"]["name"] == DEFAULT:
            self._queue.add(("", new["metadata"]["namespace"]))

    async def _reconcile(self, key: Key) -> None:
        namespace = self._namespaces.get(key[1])
        if namespace is None or is_deleting(namespace) or self._accounts.get(DEFAULT, key[1]) is not None:
            return
        try:
            await self._cluster.create(SERVICE_ACCOUNTS, {"metadata": {"name": DEFAULT}}, key[1])
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
