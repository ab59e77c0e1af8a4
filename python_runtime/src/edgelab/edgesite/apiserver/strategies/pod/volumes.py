"""Volumes of a pod (`pkg/apis/core/validation`: ValidateVolumes)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.invalid import Cause, bad, duplicate, forbidden, quote, required
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.core import claims
from edgelab.edgesite.apiserver.strategies.pod import downward, projected
from edgelab.edgesite.apiserver.strategies.pod import volumetypes as types

Obj = dict[str, Any]

MORE_THAN_ONE = "may not specify more than 1 volume type"


def _csi(source: Obj, path: str) -> list[Cause]:
    causes = checks.csi_driver_name(source.get("driver") or "", f"{path}.driver")
    secret = source.get("nodePublishSecretRef")
    if secret is None:
        return causes
    name = secret.get("name") or ""
    if not name:
        return [*causes, required(f"{path}.nodePublishSecretRef.name")]
    return causes + checks.dns_subdomain(name, f"{path}.name")


def _ephemeral(source: Obj, path: str) -> list[Cause]:
    template = source.get("volumeClaimTemplate")
    if template is None:
        return [required(f"{path}.volumeClaimTemplate")]
    field, metadata = f"{path}.volumeClaimTemplate", template.get("metadata") or {}
    causes = checks.annotation_map(metadata.get("annotations"), f"{field}.metadata.annotations")
    causes += checks.labels(metadata.get("labels"), f"{field}.metadata.labels")
    for name, value in metadata.items():
        if name not in ("annotations", "labels", "creationTimestamp") and value:
            causes.append(forbidden(f"{field}.metadata.{name}", "cannot be set"))
    return causes + claims.spec(template.get("spec") or {}, f"{field}.spec")


def _image(source: Obj, path: str) -> list[Cause]:
    causes = [] if source.get("reference") else [required(f"{path}.reference")]
    policies = ["Always", "IfNotPresent", "Never"]
    return causes + checks.choice(source.get("pullPolicy") or "", f"{path}.pullPolicy", policies)


# in the order in which kube-apiserver looks: (field, name in paths, name in the error of a second type)
SOURCES: tuple[tuple[str, types.Validator, str, str], ...] = (
    ("emptyDir", types.empty_dir, "", ""),
    ("hostPath", types.host_path, "", ""),
    ("gitRepo", types.git_repo, "", ""),
    ("gcePersistentDisk", types.gce_disk, "persistentDisk", ""),
    ("awsElasticBlockStore", types.aws_disk, "", ""),
    ("secret", types.keyed("secretName"), "", ""),
    ("nfs", types.nfs, "", ""),
    ("iscsi", types.iscsi, "", ""),
    ("glusterfs", types.needs("endpoints", "path"), "", ""),
    ("flocker", types.flocker, "", ""),
    ("persistentVolumeClaim", types.needs("claimName"), "", ""),
    ("rbd", types.needs("monitors", "image"), "", ""),
    ("cinder", types.cinder, "", ""),
    ("cephfs", types.needs("monitors"), "", "cephFS"),
    ("quobyte", types.quobyte, "", ""),
    ("downwardAPI", downward.source, "", "downwarAPI"),
    ("fc", types.fibre_channel, "", ""),
    ("flexVolume", types.flex, "", ""),
    ("configMap", types.keyed("name"), "", ""),
    ("azureFile", types.needs("secretName", "shareName"), "", ""),
    ("vsphereVolume", types.needs("volumePath"), "", ""),
    ("photonPersistentDisk", types.needs("pdID"), "", ""),
    ("portworxVolume", types.needs("volumeID"), "", ""),
    ("azureDisk", types.azure_disk, "", ""),
    ("storageos", types.storageos, "", ""),
    ("projected", projected.source, "", ""),
    ("scaleIO", types.needs("gateway", "system", "volumeName"), "", ""),
    ("csi", _csi, "", ""),
    ("ephemeral", _ephemeral, "", ""),
    ("image", _image, "", ""),
)


def volumes(spec: Obj, path: str, pod_name: str) -> tuple[dict[str, Obj], list[Cause]]:
    """The valid volumes by their names, and what is wrong with the others."""
    found: dict[str, Obj] = {}
    causes: list[Cause] = []
    listed = spec.get("volumes") or []
    created = {f"{pod_name}-{v.get('name') or ''}" for v in listed if pod_name and "ephemeral" in v}
    for position, volume in enumerate(listed):
        field, name = f"{path}[{position}]", volume.get("name") or ""
        problems = _source(volume, field, name, pod_name)
        problems += checks.dns_label(name, f"{field}.name") if name else [required(f"{field}.name")]
        if name in found:
            problems.append(duplicate(f"{field}.name", name))
        if not problems:
            found[name] = volume
        causes += problems
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName") or ""
        if "persistentVolumeClaim" in volume and claim in created:
            text = "must not reference a PVC that gets created for an ephemeral volume"
            causes.append(bad(f"{field}.persistentVolumeClaim.claimName", claim, text))
    return found, causes


def _source(volume: Obj, path: str, name: str, pod_name: str) -> list[Cause]:
    causes: list[Cause] = []
    number = 0
    for field, check, where, second in SOURCES:
        if field not in volume:
            continue
        if number:
            causes.append(forbidden(f"{path}.{second or field}", MORE_THAN_ONE))
            continue
        number += 1
        causes += check(volume[field], f"{path}.{where or field}")
        if field == "iscsi":
            causes += _long_portal(volume[field], path, name)
        if field == "ephemeral" and pod_name and name:
            causes += _claim_name(f"{pod_name}-{name}", path, name)
    return causes if number else [*causes, required(path, "must specify a volume type")]


def _long_portal(source: Obj, path: str, name: str) -> list[Cause]:
    if source.get("initiatorName") is None or len(f"{name}:{source.get('targetPortal') or ''}") <= 64:
        return []
    text = (
        "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if"
        " iscsi.initiatorName is specified."
    )
    return [bad(f"{path}.name", name, text)]


def _claim_name(claim: str, path: str, name: str) -> list[Cause]:
    return [bad(f"{path}.name", name, f"PVC name {quote(claim)}: {text}") for text in names.subdomain(claim)]
