"""Which resource a kind is, and the other way round.

Known are the kinds that edges handle; what CloudCore's answers say besides is learned. The rest is guessed
as KubeEdge does (client-go `UnsafeGuessKindToResource`), save that a vowel before a `y` keeps it.
"""

from __future__ import annotations

_BUILT_IN = {
    "pods": "Pod",
    "nodes": "Node",
    "configmaps": "ConfigMap",
    "secrets": "Secret",
    "services": "Service",
    "endpoints": "Endpoints",
    "endpointslices": "EndpointSlice",
    "namespaces": "Namespace",
    "events": "Event",
    "serviceaccounts": "ServiceAccount",
    "persistentvolumes": "PersistentVolume",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "volumeattachments": "VolumeAttachment",
    "replicationcontrollers": "ReplicationController",
    "deployments": "Deployment",
    "daemonsets": "DaemonSet",
    "statefulsets": "StatefulSet",
    "replicasets": "ReplicaSet",
    "jobs": "Job",
    "cronjobs": "CronJob",
    "leases": "Lease",
    "networkpolicies": "NetworkPolicy",
    "devices": "Device",
    "devicemodels": "DeviceModel",
    "devicestatuses": "DeviceStatus",
}
API_VERSIONS = {
    "device": ("devices.kubeedge.io/v1beta1", "Device"),
    "devicemodel": ("devices.kubeedge.io/v1beta1", "DeviceModel"),
    "pod": ("v1", "Pod"),
    "node": ("v1", "Node"),
    "configmap": ("v1", "ConfigMap"),
    "secret": ("v1", "Secret"),
    "persistentvolume": ("v1", "PersistentVolume"),
    "persistentvolumeclaim": ("v1", "PersistentVolumeClaim"),
    "volumeattachment": ("storage.k8s.io/v1", "VolumeAttachment"),
}
"""What messages of a type carry, where their content does not say it itself."""
CLUSTER_WIDE = frozenset({"Node", "PersistentVolume", "VolumeAttachment", "Namespace"})


class Kinds:
    """Resources by kind, and kinds by resource; names are taken for the same in every group."""

    def __init__(self) -> None:
        self._kinds = dict(_BUILT_IN)
        self._resources = {kind: resource for resource, kind in _BUILT_IN.items()}

    def learn(self, resource: str, kind: str) -> None:
        """Take note of a resource's kind."""
        if resource and kind:
            self._kinds[resource] = kind
            self._resources[kind] = resource

    def kind(self, resource: str) -> str:
        """`pods` -> `Pod`; of a stranger the best guess, as the original has it."""
        return self._kinds.get(resource) or _singular(resource).capitalize()

    def known(self, resource: str) -> bool:
        """Whether the kind is more than a guess."""
        return resource in self._kinds

    def resource(self, kind: str) -> str:
        """`Pod` -> `pods`."""
        return self._resources.get(kind) or _plural(kind.lower())


def _plural(word: str) -> str:
    if word.endswith("endpoints"):
        return word
    if word.endswith("y") and word[-2:-1] not in "aeiou":
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith(("s", "x", "ch", "sh")) else f"{word}s"


def _singular(word: str) -> str:
    if word.endswith("ies"):
        return f"{word[:-3]}y"
    return word[:-2] if word.endswith(("ses", "xes", "ches", "shes")) else word.removesuffix("s")
