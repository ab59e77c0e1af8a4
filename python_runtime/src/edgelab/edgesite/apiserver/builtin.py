"""The built-in resources, as kube-apiserver serves them, and metrics-server's."""

from __future__ import annotations

from collections.abc import Iterator

from edgelab.edgesite.apiserver.kinds import ALL_VERBS, Kind
from edgelab.edgesite.apiserver.schema import Catalogue
from edgelab.kube.interface import Resource

# group/version | plural | kind | N(amespaced) or C(luster) | short names | categories | subresources
TABLE = """
v1 | bindings | Binding | N | | | !create
v1 | componentstatuses | ComponentStatus | C | cs | |
v1 | configmaps | ConfigMap | N | cm | |
v1 | endpoints | Endpoints | N | ep | |
v1 | events | Event | N | ev | |
v1 | limitranges | LimitRange | N | limits | |
v1 | namespaces | Namespace | C | ns | | finalize status
v1 | nodes | Node | C | no | | proxy status
v1 | persistentvolumeclaims | PersistentVolumeClaim | N | pvc | | status
v1 | persistentvolumes | PersistentVolume | C | pv | | status
v1 | pods | Pod | N | po | all | attach binding ephemeralcontainers eviction exec log portforward proxy resize status
v1 | podtemplates | PodTemplate | N | | |
v1 | replicationcontrollers | ReplicationController | N | rc | all | scale status
v1 | resourcequotas | ResourceQuota | N | quota | | status
v1 | secrets | Secret | N | | |
v1 | serviceaccounts | ServiceAccount | N | sa | | token
v1 | services | Service | N | svc | all | proxy status
admissionregistration.k8s.io/v1 | mutatingwebhookconfigurations | MutatingWebhookConfiguration | C | | api-extensions |
admissionregistration.k8s.io/v1 | validatingadmissionpolicies | ValidatingAdmissionPolicy | C | | api-extensions | status
admissionregistration.k8s.io/v1 | validatingadmissionpolicybindings | ValidatingAdmissionPolicyBinding | C | | api-extensions |
admissionregistration.k8s.io/v1 | validatingwebhookconfigurations | ValidatingWebhookConfiguration | C | | api-extensions |
apiextensions.k8s.io/v1 | customresourcedefinitions | CustomResourceDefinition | C | crd,crds | api-extensions | status
apiregistration.k8s.io/v1 | apiservices | APIService | C | | api-extensions | status
apps/v1 | controllerrevisions | ControllerRevision | N | | |
apps/v1 | daemonsets | DaemonSet | N | ds | all | status
apps/v1 | deployments | Deployment | N | deploy | all | scale status
apps/v1 | replicasets | ReplicaSet | N | rs | all | scale status
apps/v1 | statefulsets | StatefulSet | N | sts | all | scale status
authentication.k8s.io/v1 | selfsubjectreviews | SelfSubjectReview | C | | | !create
authentication.k8s.io/v1 | tokenreviews | TokenReview | C | | | !create
authorization.k8s.io/v1 | localsubjectaccessreviews | LocalSubjectAccessReview | N | | | !create
authorization.k8s.io/v1 | selfsubjectaccessreviews | SelfSubjectAccessReview | C | | | !create
authorization.k8s.io/v1 | selfsubjectrulesreviews | SelfSubjectRulesReview | C | | | !create
authorization.k8s.io/v1 | subjectaccessreviews | SubjectAccessReview | C | | | !create
autoscaling/v1 | horizontalpodautoscalers | HorizontalPodAutoscaler | N | hpa | all | status
autoscaling/v2 | horizontalpodautoscalers | HorizontalPodAutoscaler | N | hpa | all | status
batch/v1 | cronjobs | CronJob | N | cj | all | status
batch/v1 | jobs | Job | N | | all | status
certificates.k8s.io/v1 | certificatesigningrequests | CertificateSigningRequest | C | csr | | approval status
coordination.k8s.io/v1 | leases | Lease | N | | |
discovery.k8s.io/v1 | endpointslices | EndpointSlice | N | | |
events.k8s.io/v1 | events | Event | N | ev | |
flowcontrol.apiserver.k8s.io/v1 | flowschemas | FlowSchema | C | | | status
flowcontrol.apiserver.k8s.io/v1 | prioritylevelconfigurations | PriorityLevelConfiguration | C | | | status
metrics.k8s.io/v1beta1 | nodes | NodeMetrics | C | | |
metrics.k8s.io/v1beta1 | pods | PodMetrics | N | | |
networking.k8s.io/v1 | ingressclasses | IngressClass | C | | |
networking.k8s.io/v1 | ingresses | Ingress | N | ing | | status
networking.k8s.io/v1 | ipaddresses | IPAddress | C | ip | |
networking.k8s.io/v1 | servicecidrs | ServiceCIDR | C | | | status
networking.k8s.io/v1 | networkpolicies | NetworkPolicy | N | netpol | |
node.k8s.io/v1 | runtimeclasses | RuntimeClass | C | | |
policy/v1 | poddisruptionbudgets | PodDisruptionBudget | N | pdb | | status
rbac.authorization.k8s.io/v1 | clusterrolebindings | ClusterRoleBinding | C | | |
rbac.authorization.k8s.io/v1 | clusterroles | ClusterRole | C | | |
rbac.authorization.k8s.io/v1 | rolebindings | RoleBinding | N | | |
rbac.authorization.k8s.io/v1 | roles | Role | N | | |
resource.k8s.io/v1 | deviceclasses | DeviceClass | C | | |
resource.k8s.io/v1 | resourceclaims | ResourceClaim | N | | | status
resource.k8s.io/v1 | resourceclaimtemplates | ResourceClaimTemplate | N | | |
resource.k8s.io/v1 | resourceslices | ResourceSlice | C | | |
scheduling.k8s.io/v1 | priorityclasses | PriorityClass | C | pc | |
storage.k8s.io/v1 | csidrivers | CSIDriver | C | | |
storage.k8s.io/v1 | csinodes | CSINode | C | | |
storage.k8s.io/v1 | csistoragecapacities | CSIStorageCapacity | N | | |
storage.k8s.io/v1 | storageclasses | StorageClass | C | sc | |
storage.k8s.io/v1 | volumeattachments | VolumeAttachment | C | | | status
storage.k8s.io/v1 | volumeattributesclasses | VolumeAttributesClass | C | vac | |
"""  # noqa: E501 - a table is read by its columns
EVENTS_BUCKET = "events"
STORED = {"autoscaling/v1": "autoscaling/v2"}
SINGULAR = {
    "v1/endpoints": "endpoints",
    **dict.fromkeys(("metrics.k8s.io/v1beta1/nodes", "metrics.k8s.io/v1beta1/pods"), ""),
}
# what can be done with a resource, where that is not everything
VERBS = {
    "v1/componentstatuses": ("get", "list"),
    **dict.fromkeys(("metrics.k8s.io/v1beta1/nodes", "metrics.k8s.io/v1beta1/pods"), ("get", "list")),
    "v1/namespaces": tuple(verb for verb in ALL_VERBS if verb != "deletecollection"),
}


def kinds(catalogue: Catalogue) -> Iterator[Kind]:
    """The table as kinds."""
    for line in TABLE.strip().splitlines():
        version, plural, kind, scope, short, categories, extra = (part.strip() for part in line.split("|"))
        group, _, number = version.rpartition("/")
        events = plural == "events"
        yield Kind(
            Resource(group, number, plural, kind, namespaced=scope == "N"),
            catalogue.kind(group, number, kind),
            singular=SINGULAR.get(f"{version}/{plural}", kind.lower()),
            short_names=tuple(filter(None, short.split(","))),
            categories=tuple(filter(None, categories.split(","))),
            subresources=() if extra.startswith("!") else tuple(extra.split()),
            verbs=("create",) if extra.startswith("!") else VERBS.get(f"{version}/{plural}", ALL_VERBS),
            bucket=EVENTS_BUCKET if events else "",
            storage_api_version="v1" if events else STORED.get(version, ""),
        )
