"""The kinds that this runtime itself reads and writes."""

from __future__ import annotations

from edgelab.kube.interface import Resource

NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
NODES = Resource("", "v1", "nodes", "Node", namespaced=False)
PODS = Resource("", "v1", "pods", "Pod")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
SECRETS = Resource("", "v1", "secrets", "Secret")
SERVICES = Resource("", "v1", "services", "Service")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints")
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
EVENTS = Resource("", "v1", "events", "Event")
PERSISTENT_VOLUMES = Resource("", "v1", "persistentvolumes", "PersistentVolume", namespaced=False)
PERSISTENT_VOLUME_CLAIMS = Resource("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
REPLICA_SETS = Resource("apps", "v1", "replicasets", "ReplicaSet")
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
LEASE_NAMESPACE = "kube-node-lease"
"""Where the Leases of nodes are."""
CSRS = Resource(
    "certificates.k8s.io", "v1", "certificatesigningrequests", "CertificateSigningRequest", namespaced=False
)
VOLUME_ATTACHMENTS = Resource(
    "storage.k8s.io", "v1", "volumeattachments", "VolumeAttachment", namespaced=False
)
CRDS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
CLUSTER_ROLES = Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource(
    "rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False
)
ROLES = Resource("rbac.authorization.k8s.io", "v1", "roles", "Role")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
VALIDATING_WEBHOOKS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    namespaced=False,
)
MUTATING_WEBHOOKS = Resource(
    "admissionregistration.k8s.io",
    "v1",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    namespaced=False,
)
SUBJECT_ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False
)
TOKEN_REVIEWS = Resource("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", namespaced=False)
ACCESSES = Resource("policy.kubeedge.io", "v1alpha1", "serviceaccountaccesses", "ServiceAccountAccess")
DESTINATION_RULES = Resource("networking.istio.io", "v1alpha3", "destinationrules", "DestinationRule")
DEVICES = Resource("devices.kubeedge.io", "v1beta1", "devices", "Device")
DEVICE_MODELS = Resource("devices.kubeedge.io", "v1beta1", "devicemodels", "DeviceModel")
DEVICE_STATUSES = Resource("devices.kubeedge.io", "v1beta1", "devicestatuses", "DeviceStatus")
OBJECT_SYNCS = Resource("reliablesyncs.kubeedge.io", "v1alpha1", "objectsyncs", "ObjectSync")
CLUSTER_OBJECT_SYNCS = Resource(
    "reliablesyncs.kubeedge.io", "v1alpha1", "clusterobjectsyncs", "ClusterObjectSync", namespaced=False
)
RULES = Resource("rules.kubeedge.io", "v1", "rules", "Rule")
RULE_ENDPOINTS = Resource("rules.kubeedge.io", "v1", "ruleendpoints", "RuleEndpoint")
NODE_GROUPS = Resource("apps.kubeedge.io", "v1alpha1", "nodegroups", "NodeGroup", namespaced=False)
EDGE_APPLICATIONS = Resource("apps.kubeedge.io", "v1alpha1", "edgeapplications", "EdgeApplication")
NODE_UPGRADE_JOBS = Resource(
    "operations.kubeedge.io", "v1alpha2", "nodeupgradejobs", "NodeUpgradeJob", namespaced=False
)
IMAGE_PRE_PULL_JOBS = Resource(
    "operations.kubeedge.io", "v1alpha2", "imageprepulljobs", "ImagePrePullJob", namespaced=False
)
CONFIG_UPDATE_JOBS = Resource(
    "operations.kubeedge.io", "v1alpha2", "configupdatejobs", "ConfigUpdateJob", namespaced=False
)
