"""Which objects a pod needs (`pkg/api/v1/pod/util.go`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Obj = dict[str, Any]

WITH_SECRET_REF = ("cephfs", "cinder", "flexVolume", "rbd", "scaleIO", "iscsi", "storageos")
UNKNOWN = "unknown volume type"
FREE_VOLUMES = {
    "awsElasticBlockStore",
    "azureDisk",
    "cephfs",
    "cinder",
    "downwardAPI",
    "emptyDir",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "photonPersistentDisk",
    "portworxVolume",
    "quobyte",
    "rbd",
    "scaleIO",
    "storageos",
    "vsphereVolume",
}
"""Volumes that name no object of the API, but perhaps a secret."""
BOUND_VOLUMES = {
    "configMap": "configmaps (via configmap volumes)",
    "secret": "secrets (via secret volumes)",
    "csi": "csidrivers (via CSI volumes)",
    "glusterfs": "endpoints (via glusterFS volumes)",
    "persistentVolumeClaim": "persistentvolumeclaims",
    "ephemeral": "persistentvolumeclaims (via ephemeral volumes)",
    "azureFile": "secrets (via azureFile volumes)",
}
PROJECTED = {
    "configMap": "configmaps (via projected volumes)",
    "secret": "secrets (via projected volumes)",
    "serviceAccountToken": "serviceaccounts (via projected volumes)",
    "clusterTrustBundle": "clustertrustbundles",
    "podCertificate": "podcertificates",
}


def secrets(pod: Obj) -> set[str]:
    """Names of the secrets in its namespace that a pod needs."""
    spec = pod.get("spec") or {}
    found = {item.get("name") for item in spec.get("imagePullSecrets") or ()}
    found |= set(_environment(spec, "secretRef", "secretKeyRef"))
    for volume in spec.get("volumes") or ():
        found |= {(volume.get(kind) or {}).get("secretRef", {}).get("name") for kind in WITH_SECRET_REF}
        found.add((volume.get("azureFile") or {}).get("secretName"))
        found.add((volume.get("secret") or {}).get("secretName"))
        found.add(((volume.get("csi") or {}).get("nodePublishSecretRef") or {}).get("name"))
        found |= set(_projected(volume, "secret"))
    return {name for name in found if name}


def config_maps(pod: Obj) -> set[str]:
    """Names of the config maps in its namespace that a pod needs."""
    spec = pod.get("spec") or {}
    found: set[str | None] = set(_environment(spec, "configMapRef", "configMapKeyRef"))
    for volume in spec.get("volumes") or ():
        found.add((volume.get("configMap") or {}).get("name"))
        found |= set(_projected(volume, "configMap"))
    return {name for name in found if name}


def claims(pod: Obj) -> set[str]:
    """Names of the volume claims in its namespace that a pod needs."""
    found: set[str | None] = set()
    for volume in (pod.get("spec") or {}).get("volumes") or ():
        if volume.get("persistentVolumeClaim"):
            found.add(volume["persistentVolumeClaim"].get("claimName"))
        elif volume.get("ephemeral"):
            found.add(f"{pod['metadata']['name']}-{volume.get('name')}")
    return {name for name in found if name}


def any_reference(pod: Obj) -> str:
    """A kind of object that a pod refers to, as error messages name it; empty for none."""
    spec = pod.get("spec") or {}
    if spec.get("serviceAccountName"):
        return "serviceaccounts"
    if secrets(pod):
        return "secrets"
    if config_maps(pod):
        return "configmaps"
    if spec.get("resourceClaims"):
        return "resourceclaims"
    return next((text for text in map(_volume, spec.get("volumes") or ()) if text), "")


def _volume(volume: Obj) -> str:
    kinds = [key for key, value in volume.items() if key != "name" and value is not None]
    for kind in kinds:
        if kind in BOUND_VOLUMES:
            return BOUND_VOLUMES[kind]
        if kind == "projected":
            sources = [key for source in volume[kind].get("sources") or () for key in source]
            return next(
                (PROJECTED.get(key, "unknown volume type") for key in sources if key != "downwardAPI"), ""
            )
        if kind not in FREE_VOLUMES:
            return "unknown volume type"
    return ""


def _projected(volume: Obj, kind: str) -> Iterator[str]:
    for source in (volume.get("projected") or {}).get("sources") or ():
        name = (source.get(kind) or {}).get("name")
        if name:
            yield name


def _environment(spec: Obj, whole: str, single: str) -> Iterator[str]:
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(kind) or ():
            for source in container.get("envFrom") or ():
                yield (source.get(whole) or {}).get("name") or ""
            for variable in container.get("env") or ():
                yield ((variable.get("valueFrom") or {}).get(single) or {}).get("name") or ""
