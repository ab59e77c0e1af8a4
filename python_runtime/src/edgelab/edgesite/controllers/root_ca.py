"""The cluster's CA in every namespace: config map `kube-root-ca.crt` (controller `rootcacertpublisher`).

Receives namespaces and config maps; creates the map, and puts its content right when it was changed.
"""

from __future__ import annotations

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.kube.informer import Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import CONFIG_MAPS, NAMESPACES
from edgelab.objects.metadata import is_deleting
from edgelab.objects.status import ApiError

NAME = "kube-root-ca.crt"
DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints "
    "such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across "
    "distributions of Kubernetes clusters."
)


class RootCAPublisher:
    """A module; its queue holds the keys of namespaces."""

    name = "root-ca-certificate-publisher"

    def __init__(self, cluster: Cluster, ca_pem: str) -> None:
        self._cluster = cluster
        self._data = {"ca.crt": ca_pem}
        self._namespaces = cluster.view(NAMESPACES)
        self._maps = cluster.view(CONFIG_MAPS)
        needs = [self._namespaces, self._maps]
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, needs)
        self._namespaces.add_handler(lambda _, __, new: self._queue.add_object(new))
        self._maps.add_handler(self._on_map)

    async def run(self) -> None:
        """Keep the maps."""
        await self._queue.run()

    def _on_map(self, event_type: str, old: Obj | None, new: Obj) -> None:
        if new["metadata"]["name"] == NAME:
            self._queue.add(("", new["metadata"]["namespace"]))

    async def _reconcile(self, key: Key) -> None:
        namespace = self._namespaces.get(key[1])
        if namespace is None or is_deleting(namespace):
            return
        current = self._maps.get(NAME, key[1])
        if current is None:
            await self._create(key[1])
        elif current.get("data") != self._data:
            await self._cluster.update(CONFIG_MAPS, {**current, "data": self._data})

    async def _create(self, namespace: str) -> None:
        annotations = {"kubernetes.io/description": DESCRIPTION}
        config_map = {"metadata": {"name": NAME, "annotations": annotations}, "data": self._data}
        try:
            await self._cluster.create(CONFIG_MAPS, config_map, namespace)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
