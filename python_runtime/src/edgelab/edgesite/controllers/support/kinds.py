"""The kinds that only the control plane itself deals with, and all that can hold objects."""

from __future__ import annotations

from collections.abc import Iterator

from edgelab.edgesite.controllers.support.view import View
from edgelab.kube import resources
from edgelab.kube.interface import Obj, Resource
from edgelab.objects.metadata import condition

JOBS = Resource("batch", "v1", "jobs", "Job")
CRON_JOBS = Resource("batch", "v1", "cronjobs", "CronJob")
STATEFUL_SETS = Resource("apps", "v1", "statefulsets", "StatefulSet")
CONTROLLER_REVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision")
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
REPLICATION_CONTROLLERS = Resource("", "v1", "replicationcontrollers", "ReplicationController")
BUDGETS = Resource("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
STORAGE_CLASSES = Resource("storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False)
SERVICE_CIDRS = Resource("networking.k8s.io", "v1", "servicecidrs", "ServiceCIDR", namespaced=False)
IP_ADDRESSES = Resource("networking.k8s.io", "v1", "ipaddresses", "IPAddress", namespaced=False)
VOLUME_ATTRIBUTES_CLASSES = Resource(
    "storage.k8s.io", "v1", "volumeattributesclasses", "VolumeAttributesClass", namespaced=False
)
RESOURCE_QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")

BUILT_IN: tuple[Resource, ...] = (
    resources.PODS,
    resources.CONFIG_MAPS,
    resources.SECRETS,
    resources.SERVICES,
    resources.SERVICE_ACCOUNTS,
    resources.ENDPOINTS,
    resources.EVENTS,
    resources.PERSISTENT_VOLUME_CLAIMS,
    resources.PERSISTENT_VOLUMES,
    resources.NODES,
    resources.DEPLOYMENTS,
    resources.REPLICA_SETS,
    resources.DAEMON_SETS,
    resources.LEASES,
    resources.CSRS,
    resources.VOLUME_ATTACHMENTS,
    STATEFUL_SETS,
    CONTROLLER_REVISIONS,
    JOBS,
    CRON_JOBS,
    ENDPOINT_SLICES,
    RESOURCE_QUOTAS,
    Resource("", "v1", "limitranges", "LimitRange"),
    Resource("", "v1", "podtemplates", "PodTemplate"),
    REPLICATION_CONTROLLERS,
    Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
    Resource("networking.k8s.io", "v1", "ingresses", "Ingress"),
    Resource("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy"),
    BUDGETS,
    Resource("resource.k8s.io", "v1", "resourceclaims", "ResourceClaim"),
    Resource("resource.k8s.io", "v1", "resourceclaimtemplates", "ResourceClaimTemplate"),
    Resource("rbac.authorization.k8s.io", "v1", "roles", "Role"),
    Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding"),
    Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False),
    Resource(
        "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False
    ),
    STORAGE_CLASSES,
    Resource("storage.k8s.io", "v1", "csinodes", "CSINode", namespaced=False),
)
"""What is looked through when a namespace is emptied and owners are followed, unless the server's own
list is given. Custom resources are added as their definitions come and go."""


def custom_resource(definition: Obj) -> Resource | None:
    """The kind that an established definition serves, in its storage version."""
    established = condition(definition, "Established")
    if established is None or established["status"] != "True":
        return None
    spec = definition["spec"]
    version = next((v["name"] for v in spec["versions"] if v.get("storage") and v.get("served", True)), None)
    if version is None:
        version = next((v["name"] for v in spec["versions"] if v.get("served", True)), None)
    if version is None:
        return None
    names, namespaced = spec["names"], spec.get("scope") == "Namespaced"
    return Resource(spec["group"], version, names["plural"], names["kind"], namespaced)


def served(built_in: tuple[Resource, ...], definitions: View) -> Iterator[Resource]:
    """Every kind that can hold objects now."""
    yield from built_in
    for definition in definitions.all():
        resource = custom_resource(definition)
        if resource is not None:
            yield resource
