"""What else there is that decisions depend on: namespaces, owners of pods, volumes, disruption budgets."""

from __future__ import annotations

from collections.abc import Mapping

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.kinds import STATEFUL_SETS
from edgelab.edgesite.controllers.support.view import View
from edgelab.edgesite.scheduler.podinfo import PodInfo
from edgelab.kube.interface import Obj, Resource
from edgelab.kube.resources import (
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    REPLICA_SETS,
    SERVICES,
    VOLUME_ATTACHMENTS,
)
from edgelab.objects.metadata import controller_of, labels
from edgelab.objects.selectors import EVERYTHING, LabelSelector, from_labels, from_object

STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False)
CSI_NODES = Resource("storage.k8s.io", "v1", "csinodes", "CSINode", namespaced=False)
BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
REPLICATION_CONTROLLERS = Resource("", "v1", "replicationcontrollers", "ReplicationController")
OWNERS = {
    ("apps/v1", "ReplicaSet"): REPLICA_SETS,
    ("apps/v1", "StatefulSet"): STATEFUL_SETS,
    ("v1", "ReplicationController"): REPLICATION_CONTROLLERS,
}
WATCHED = (
    NAMESPACES,
    SERVICES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    STORAGE_CLASSES,
    CSI_NODES,
    VOLUME_ATTACHMENTS,
    BUDGETS,
    *OWNERS.values(),
)


class Lookup:
    """Reads the views of the cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.views: dict[Resource, View] = {resource: cluster.view(resource) for resource in WATCHED}

    def namespace_labels(self, name: str) -> Mapping[str, str]:
        """The labels of a namespace; none when it is gone."""
        found = self.views[NAMESPACES].get(name)
        return labels(found) if found is not None else {}

    def claim(self, namespace: str, name: str) -> Obj | None:
        """A persistent volume claim."""
        return self.views[PERSISTENT_VOLUME_CLAIMS].get(name, namespace)

    def volume(self, name: str) -> Obj | None:
        """A persistent volume."""
        return self.views[PERSISTENT_VOLUMES].get(name)

    def volumes(self) -> list[Obj]:
        """All persistent volumes."""
        return self.views[PERSISTENT_VOLUMES].all()

    def storage_class(self, name: str) -> Obj | None:
        """A storage class."""
        return self.views[STORAGE_CLASSES].get(name)

    def csi_node(self, name: str) -> Obj | None:
        """What CSI drivers a node has."""
        return self.views[CSI_NODES].get(name)

    def attachments(self) -> list[Obj]:
        """All VolumeAttachments."""
        return self.views[VOLUME_ATTACHMENTS].all()

    def budgets(self) -> list[Obj]:
        """All disruption budgets."""
        return self.views[BUDGETS].all()

    def siblings(self, pod: PodInfo) -> LabelSelector:
        """The pods that do the same work: by the services and the owner that select this one."""
        together: dict[str, str] = {}
        for service in self.views[SERVICES].in_namespace(pod.namespace):
            selector = service["spec"].get("selector")
            if selector and from_labels(selector).matches(pod.labels):
                together |= selector
        requirements = from_labels(together).requirements if together else ()
        return LabelSelector((*requirements, *self._owner(pod).requirements))

    def _owner(self, pod: PodInfo) -> LabelSelector:
        reference = controller_of(pod.obj)
        resource = OWNERS.get((reference["apiVersion"], reference["kind"])) if reference else None
        if reference is None or resource is None:
            return EVERYTHING
        owner = self.views[resource].get(reference["name"], pod.namespace)
        if owner is None:
            return EVERYTHING
        selector = owner["spec"].get("selector")
        return from_labels(selector) if resource is REPLICATION_CONTROLLERS else from_object(selector)
