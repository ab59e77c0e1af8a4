"""Services, nodes, volumes, secrets."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.strategies.warnings import certificates
from edgelab.edgesite.apiserver.strategies.warnings.common import (
    NODE_LABELS,
    address,
    claim_spec,
    network,
    term,
)

Obj = dict[str, Any]

HINTS = (
    "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use"
    " service.kubernetes.io/topology-mode instead"
)
VOLUMES = {
    "cephfs": ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    "photonPersistentDisk": ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    "scaleIO": ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    "storageos": ("storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    "glusterfs": ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    "rbd": ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
}
CLASS = "volume.beta.kubernetes.io/storage-class"
VOLUME_ANNOTATIONS = {
    CLASS: 'deprecated since v1.8; use "storageClassName" attribute instead',
    "volume.beta.kubernetes.io/mount-options": 'deprecated since v1.31; use "mountOptions" attribute instead',
}
RECYCLE = (
    "The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic"
    " provisioning."
)
INGRESS_CLASS = "kubernetes.io/ingress.class"


def _annotations(obj: Obj) -> Obj:
    return obj["metadata"].get("annotations") or {}


def endpoints(new: Obj, old: Obj | None) -> list[str]:
    """Addresses in odd forms."""
    if (new["metadata"].get("labels") or {}).get("endpoints.kubernetes.io/managed-by") == (
        "endpoint-controller"
    ):
        return []
    return [
        text
        for number, subset in enumerate(new.get("subsets") or ())
        for field in ("addresses", "notReadyAddresses")
        for position, item in enumerate(subset.get(field) or ())
        for text in address(item.get("ip") or "", f"subsets[{number}].{field}[{position}].ip")
    ]


def node(new: Obj, old: Obj | None) -> list[str]:
    """Fields of old."""
    spec = new.get("spec") or {}
    unused = "spec.externalID: this field is deprecated, and is unused by Kubernetes"
    texts = [unused] if spec.get("externalID") else []
    for position, value in enumerate(spec.get("podCIDRs") or ()):
        texts += network(value, f"spec.podCIDRs[{position}]")
    return texts


def volume(new: Obj, old: Obj | None) -> list[str]:
    """PersistentVolumes."""
    spec, annotations = new.get("spec") or {}, _annotations(new)
    texts = [f"metadata.annotations[{k}]: {v}" for k, v in VOLUME_ANNOTATIONS.items() if k in annotations]
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        texts.append(f"spec.persistentVolumeReclaimPolicy: {RECYCLE}")
    required = ((spec.get("nodeAffinity") or {}).get("required") or {}).get("nodeSelectorTerms") or ()
    for position, found in enumerate(required):
        texts += term(found, f"spec.nodeAffinity.required.nodeSelectorTerms[{position}]")
    return texts + [f"spec.{name}: {text}" for key, (name, text) in VOLUMES.items() if key in spec]


def claim(new: Obj, old: Obj | None) -> list[str]:
    """PersistentVolumeClaims."""
    texts = []
    if CLASS in _annotations(new):
        texts.append(f"metadata.annotations[{CLASS}]: {VOLUME_ANNOTATIONS[CLASS]}")
    return texts + claim_spec(new.get("spec") or {}, "spec")


def secret(new: Obj, old: Obj | None) -> list[str]:
    """A certificate and its key."""
    return certificates.warnings(new.get("data") or {}) if new.get("type") == "kubernetes.io/tls" else []


def service(new: Obj, old: Obj | None) -> list[str]:
    """What a Service's type has no use for."""
    spec = new.get("spec") or {}
    kind, addresses = spec.get("type") or "", spec.get("externalIPs") or ()
    texts = [HINTS] if "service.kubernetes.io/topology-aware-hints" in _annotations(new) else []
    for position, value in enumerate(spec.get("clusterIPs") or ()):
        texts += address(value, f"spec.clusterIPs[{position}]")
    if kind == "ClusterIP" and spec.get("clusterIP") == "None":
        texts += _headless(spec)
    for position, value in enumerate(addresses):
        texts += address(value, f"spec.externalIPs[{position}]")
    texts += address(spec.get("loadBalancerIP") or "", "spec.loadBalancerIP")
    for position, value in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        texts += network(value, f"spec.loadBalancerSourceRanges[{position}]")
    if kind == "ExternalName" and addresses:
        texts.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if kind != "ExternalName" and spec.get("externalName"):
        texts.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    return texts


def _headless(spec: Obj) -> list[str]:
    ignored = {
        "spec.loadBalancerIP": spec.get("loadBalancerIP"),
        "spec.externalIPs": spec.get("externalIPs"),
        "spec.SessionAffinity": spec.get("sessionAffinity") != "None",
    }
    return [f"{field} is ignored for headless services" for field, found in ignored.items() if found]


def ingress(new: Obj, old: Obj | None) -> list[str]:
    """The annotation that was before the field."""
    if old is not None or INGRESS_CLASS not in _annotations(new):
        return []
    if (new.get("spec") or {}).get("ingressClassName") is not None:
        return []
    return [f"annotation \"{INGRESS_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"]


def runtime_class(new: Obj, old: Obj | None) -> list[str]:
    """Labels of nodes."""
    labels = (new.get("scheduling") or {}).get("nodeSelector") or {}
    return [f"scheduling.nodeSelector: {NODE_LABELS[key]}" for key in labels if key in NODE_LABELS]


def capacity(new: Obj, old: Obj | None) -> list[str]:
    """Labels of nodes in a CSIStorageCapacity."""
    selector = new.get("nodeTopology") or {}
    labels = selector.get("matchLabels") or {}
    return term(selector, "nodeTopology") + [
        f"nodeTopology.matchLabels.{key}: {NODE_LABELS[key]}" for key in labels if key in NODE_LABELS
    ]


def storage_class(new: Obj, old: Obj | None) -> list[str]:
    """Labels of nodes in a StorageClass."""
    return [
        f"allowedTopologies[{number}].matchLabelExpressions[{position}].key: {NODE_LABELS[item['key']]}"
        for number, topology in enumerate(new.get("allowedTopologies") or ())
        for position, item in enumerate(topology.get("matchLabelExpressions") or ())
        if item.get("key") in NODE_LABELS
    ]
