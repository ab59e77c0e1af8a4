"""The queue of Services whose pods have changed, shared in form by both kinds of endpoints."""

from __future__ import annotations

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.service_pods import is_managed, serves_differently
from edgelab.edgesite.controllers.support.workqueue import Reconcile, WorkQueue
from edgelab.kube.informer import DELETED
from edgelab.kube.interface import Obj, Resource
from edgelab.kube.resources import PODS, SERVICES


def service_queue(
    cluster: Cluster, name: str, derived: Resource, service_of: str, reconcile: Reconcile
) -> WorkQueue:
    """Keys of Services, added when the Service, one of its pods or a derived object changes.

    `service_of` is the label of a derived object that names its Service; empty when it has its name.
    """
    services, pods, derived_view = cluster.view(SERVICES), cluster.view(PODS), cluster.view(derived)
    queue = WorkQueue(name, reconcile, cluster.clock, [services, pods, derived_view])

    def on_pod(event_type: str, old: Obj | None, new: Obj) -> None:
        if event_type != DELETED and not serves_differently(old, new):
            return
        for service in services.in_namespace(new["metadata"]["namespace"]):
            if not is_managed(service):
                continue
            selector = service["spec"]["selector"].items()
            if any(selector <= (p["metadata"].get("labels") or {}).items() for p in (old, new) if p):
                queue.add_object(service)

    def on_derived(event_type: str, old: Obj | None, new: Obj) -> None:
        metadata = new["metadata"]
        owner = (metadata.get("labels") or {}).get(service_of) if service_of else metadata["name"]
        if owner:
            queue.add((metadata["namespace"], owner))

    services.add_handler(lambda _, __, new: queue.add_object(new))
    pods.add_handler(on_pod)
    derived_view.add_handler(on_derived)
    return queue
