"""Which strategy belongs to which kind."""

from __future__ import annotations

from edgelab.edgesite.apiserver.strategies import definitions, pods
from edgelab.edgesite.apiserver.strategies.core import claims, cluster, config, limits, persistent, services
from edgelab.edgesite.apiserver.strategies.groups import (
    addresses,
    apiservices,
    autoscaling,
    certificates,
    devices,
    deviceslices,
    flowcontrol,
    networking,
    others,
    policies,
    rbac,
    slices,
    storage,
    webhooks,
)
from edgelab.edgesite.apiserver.strategies.workloads import apps, cronjobs, jobs, stateful
from edgelab.edgesite.apiserver.strategy import PLAIN, Strategy

STRATEGIES: dict[tuple[str, str], Strategy] = {
    ("", "ConfigMap"): config.CONFIG_MAP,
    ("", "Endpoints"): cluster.ENDPOINTS,
    ("", "Event"): cluster.EVENT,
    ("", "LimitRange"): limits.LIMIT_RANGE,
    ("", "Namespace"): cluster.NAMESPACE,
    ("", "Node"): cluster.NODE,
    ("", "PersistentVolume"): persistent.VOLUME,
    ("", "PersistentVolumeClaim"): claims.CLAIM,
    ("", "Pod"): pods.POD,
    ("", "PodTemplate"): apps.POD_TEMPLATE,
    ("", "ReplicationController"): apps.CONTROLLER,
    ("", "ResourceQuota"): limits.QUOTA,
    ("", "Secret"): config.SECRET,
    ("", "Service"): services.SERVICE,
    ("", "ServiceAccount"): config.SERVICE_ACCOUNT,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): webhooks.WEBHOOKS,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): policies.POLICY,
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): policies.BINDING,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): webhooks.WEBHOOKS,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): definitions.DEFINITION,
    ("apiregistration.k8s.io", "APIService"): apiservices.API_SERVICE,
    ("apps", "ControllerRevision"): apps.REVISION,
    ("apps", "DaemonSet"): apps.DAEMON_SET,
    ("apps", "Deployment"): apps.DEPLOYMENT,
    ("apps", "ReplicaSet"): apps.REPLICA_SET,
    ("apps", "StatefulSet"): stateful.STATEFUL_SET,
    ("autoscaling", "HorizontalPodAutoscaler"): autoscaling.AUTOSCALER,
    ("batch", "CronJob"): cronjobs.CRON_JOB,
    ("batch", "Job"): jobs.JOB,
    ("certificates.k8s.io", "CertificateSigningRequest"): certificates.REQUEST,
    ("coordination.k8s.io", "Lease"): others.LEASE,
    ("discovery.k8s.io", "EndpointSlice"): slices.ENDPOINT_SLICE,
    ("events.k8s.io", "Event"): cluster.EVENT,
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): flowcontrol.FLOW_SCHEMA,
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): flowcontrol.PRIORITY_LEVEL,
    ("networking.k8s.io", "IPAddress"): addresses.ADDRESS,
    ("networking.k8s.io", "Ingress"): networking.INGRESS,
    ("networking.k8s.io", "IngressClass"): networking.INGRESS_CLASS,
    ("networking.k8s.io", "NetworkPolicy"): networking.NETWORK_POLICY,
    ("networking.k8s.io", "ServiceCIDR"): addresses.RANGES,
    ("node.k8s.io", "RuntimeClass"): others.RUNTIME_CLASS,
    ("policy", "PodDisruptionBudget"): others.BUDGET,
    ("rbac.authorization.k8s.io", "ClusterRole"): rbac.CLUSTER_ROLE,
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): rbac.CLUSTER_ROLE_BINDING,
    ("rbac.authorization.k8s.io", "Role"): rbac.ROLE,
    ("rbac.authorization.k8s.io", "RoleBinding"): rbac.ROLE_BINDING,
    ("resource.k8s.io", "DeviceClass"): devices.DEVICE_CLASS,
    ("resource.k8s.io", "ResourceClaim"): devices.CLAIM,
    ("resource.k8s.io", "ResourceClaimTemplate"): devices.TEMPLATE,
    ("resource.k8s.io", "ResourceSlice"): deviceslices.SLICE,
    ("scheduling.k8s.io", "PriorityClass"): others.PRIORITY_CLASS,
    ("storage.k8s.io", "CSIDriver"): storage.CSI_DRIVER,
    ("storage.k8s.io", "CSINode"): storage.CSI_NODE,
    ("storage.k8s.io", "CSIStorageCapacity"): storage.CAPACITY,
    ("storage.k8s.io", "StorageClass"): storage.STORAGE_CLASS,
    ("storage.k8s.io", "VolumeAttachment"): storage.ATTACHMENT,
    ("storage.k8s.io", "VolumeAttributesClass"): storage.ATTRIBUTES_CLASS,
}


def strategy_for(group: str, kind: str) -> Strategy:
    """The strategy of a kind."""
    return STRATEGIES.get((group, kind), PLAIN)
