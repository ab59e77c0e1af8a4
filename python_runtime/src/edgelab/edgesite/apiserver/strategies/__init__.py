"""Which strategy belongs to which kind."""

from __future__ import annotations

from edgelab.edgesite.apiserver.strategies import core, definitions, groups, pods, rbac, workloads
from edgelab.edgesite.apiserver.strategy import PLAIN, Strategy

STRATEGIES: dict[tuple[str, str], Strategy] = {
    ("", "ConfigMap"): core.CONFIG_MAP,
    ("", "Endpoints"): core.ENDPOINTS,
    ("", "Event"): core.EVENT,
    ("", "Namespace"): core.NAMESPACE,
    ("", "Node"): core.NODE,
    ("", "PersistentVolume"): core.VOLUME,
    ("", "PersistentVolumeClaim"): core.CLAIM,
    ("", "Pod"): pods.POD,
    ("", "Secret"): core.SECRET,
    ("", "Service"): core.SERVICE,
    ("", "ServiceAccount"): core.SERVICE_ACCOUNT,
    ("", "LimitRange"): groups.UNCOUNTED,
    ("", "PodTemplate"): groups.UNCOUNTED,
    ("", "ResourceQuota"): groups.UNCOUNTED,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): definitions.DEFINITION,
    ("apps", "ControllerRevision"): groups.UNCOUNTED,
    ("apps", "DaemonSet"): workloads.DAEMON_SET,
    ("apps", "Deployment"): workloads.DEPLOYMENT,
    ("apps", "ReplicaSet"): workloads.REPLICA_SET,
    ("apps", "StatefulSet"): workloads.STATEFUL_SET,
    ("autoscaling", "HorizontalPodAutoscaler"): groups.AUTOSCALER,
    ("batch", "CronJob"): workloads.CRON_JOB,
    ("batch", "Job"): workloads.JOB,
    ("certificates.k8s.io", "CertificateSigningRequest"): groups.CERTIFICATE_REQUEST,
    ("coordination.k8s.io", "Lease"): groups.LEASE,
    ("discovery.k8s.io", "EndpointSlice"): groups.ENDPOINT_SLICE,
    ("events.k8s.io", "Event"): core.EVENT,
    ("networking.k8s.io", "NetworkPolicy"): groups.NETWORK_POLICY,
    ("node.k8s.io", "RuntimeClass"): groups.UNCOUNTED,
    ("rbac.authorization.k8s.io", "ClusterRole"): rbac.ROLE,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): rbac.BINDING,
    ("rbac.authorization.k8s.io", "Role"): rbac.ROLE,
    ("rbac.authorization.k8s.io", "RoleBinding"): rbac.BINDING,
    ("scheduling.k8s.io", "PriorityClass"): groups.PRIORITY_CLASS,
    ("storage.k8s.io", "CSIDriver"): groups.UNCOUNTED,
    ("storage.k8s.io", "CSINode"): groups.UNCOUNTED,
    ("storage.k8s.io", "CSIStorageCapacity"): groups.UNCOUNTED,
    ("storage.k8s.io", "StorageClass"): groups.STORAGE_CLASS,
    ("storage.k8s.io", "VolumeAttachment"): groups.UNCOUNTED,
}


def strategy_for(group: str, kind: str) -> Strategy:
    """The strategy of a kind."""
    return STRATEGIES.get((group, kind), PLAIN)
