"""PersistentVolumes."""

from __future__ import annotations

import copy
import posixpath
from typing import Any

from edgelab.edgesite.apiserver import layouts, objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, bad, forbidden, required, unsupported
from edgelab.edgesite.apiserver.strategies import checks, poddefaults
from edgelab.edgesite.apiserver.strategies.core.claims import VOLUME_MODES, access_modes
from edgelab.edgesite.apiserver.strategies.pod import affinity
from edgelab.edgesite.apiserver.strategies.pod import volumetypes as types
from edgelab.edgesite.apiserver.strategy import Part, Strategy
from edgelab.objects import quantity

Obj = dict[str, Any]

RECLAIM = ["Delete", "Recycle", "Retain"]
MORE_THAN_ONE = "may not specify more than 1 volume type"
SECRETS: tuple[str, ...] = ("controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef")
SECRETS += ("nodeExpandSecretRef",)


def _csi(source: Obj, path: str) -> list[Cause]:
    causes = checks.csi_driver_name(source.get("driver") or "", f"{path}.driver")
    causes += types.needs("volumeHandle")(source, path)
    for field in SECRETS:
        if field in source:
            name, namespace = source[field].get("name") or "", source[field].get("namespace") or ""
            where = f"{path}.{field}"
            causes += checks.dns_subdomain(name, f"{where}.name") if name else [required(f"{where}.name")]
            named = checks.dns_label(namespace, f"{where}.namespace")
            causes += named if namespace else [required(f"{where}.namespace")]
    return causes


def _glusterfs(source: Obj, path: str) -> list[Cause]:
    causes, namespace = types.needs("endpoints", "path")(source, path), source.get("endpointsNamespace")
    field = f"{path}.endpointsNamespace"
    if namespace == "":
        text = "if the endpointnamespace is set, it must be a valid namespace name"
        causes.append(bad(field, namespace, text))
    elif namespace is not None:
        causes += checks.dns_label(namespace, field)
    return causes


def _azure_file(source: Obj, path: str) -> list[Cause]:
    causes = types.needs("secretName", "shareName")(source, path)
    return causes + ([required(f"{path}.secretNamespace")] if source.get("secretNamespace") == "" else [])


def _local(source: Obj, path: str) -> list[Cause]:
    where = source.get("path") or ""
    return checks.no_backsteps(where, f"{path}.path") if where else [required(f"{path}.path")]


# in the order of kube-apiserver: (field, check, name in paths, name in the error of a second type)
SOURCES: tuple[tuple[str, types.Validator, str, str], ...] = (
    ("hostPath", types.host_path, "", ""),
    ("gcePersistentDisk", types.gce_disk, "persistentDisk", ""),
    ("awsElasticBlockStore", types.aws_disk, "", ""),
    ("glusterfs", _glusterfs, "", ""),
    ("flocker", types.flocker, "", ""),
    ("nfs", types.nfs, "", ""),
    ("rbd", types.needs("monitors", "image"), "", ""),
    ("quobyte", types.quobyte, "", ""),
    ("cephfs", types.needs("monitors"), "", "cephFS"),
    ("iscsi", types.iscsi, "", ""),
    ("cinder", types.cinder_persistent, "", ""),
    ("fc", types.fibre_channel, "", ""),
    ("flexVolume", types.flex, "", ""),
    ("azureFile", _azure_file, "", ""),
    ("vsphereVolume", types.needs("volumePath"), "", ""),
    ("photonPersistentDisk", types.needs("pdID"), "", ""),
    ("portworxVolume", types.needs("volumeID"), "", ""),
    ("azureDisk", types.azure_disk, "", ""),
    ("scaleIO", types.needs("gateway", "system", "volumeName"), "", ""),
    ("local", _local, "", ""),
    ("storageos", types.storageos_persistent, "", ""),
    ("csi", _csi, "", ""),
)


def default(obj: Obj) -> None:
    """Defaults of a PersistentVolume."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    spec.setdefault("volumeMode", "Filesystem")
    if "hostPath" in spec:
        spec["hostPath"].setdefault("type", "")
    poddefaults.remote(spec)


def on_create(obj: Obj) -> None:
    """Volumes start Pending; the time of it is the time of creation."""
    obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": obj["metadata"]["creationTimestamp"]}


def spec(found: Obj, path: str, name: str, *, inline: bool = False) -> list[Cause]:
    """ValidatePersistentVolumeSpec; `inline` is for the one in a VolumeAttachment."""
    modes, causes = found.get("accessModes") or [], _inline(found, path) if inline else []
    causes += [] if modes else [required(f"{path}.accessModes")]
    causes += access_modes(modes, f"{path}.accessModes")
    if not inline:
        causes += _capacity(found.get("capacity") or {}, f"{path}.capacity")
    policy = found.get("persistentVolumeReclaimPolicy") or ""
    if policy and not inline and policy not in RECLAIM:
        causes.append(unsupported(f"{path}.persistentVolumeReclaimPolicy", policy, RECLAIM))
    wanted = found.get("nodeAffinity")
    if wanted is not None and not inline:
        causes += _node_affinity(wanted, f"{path}.nodeAffinity")
    causes += _source(found, path, name)
    host = found.get("hostPath")
    if host is not None and policy == "Recycle" and posixpath.normpath(host.get("path") or ".") == "/":
        text = "may not be 'recycle' for a hostPath mount of '/'"
        causes.append(forbidden(f"{path}.persistentVolumeReclaimPolicy", text))
    if found.get("storageClassName") and not inline:
        causes += checks.dns_subdomain(found["storageClassName"], f"{path}.storageClassName")
    mode = found.get("volumeMode")
    if mode is not None and not inline and mode not in VOLUME_MODES:
        causes.append(unsupported(f"{path}.volumeMode", mode, VOLUME_MODES))
    return causes + _attributes(found, path)


def _inline(found: Obj, path: str) -> list[Cause]:
    text = "may not be specified in the context of inline volumes"
    causes = [forbidden(f"{path}.{field}", text) for field in ("claimRef", "capacity") if found.get(field)]
    if "csi" not in found:
        causes.append(required(f"{path}.csi", "has to be specified in the context of inline volumes"))
    return causes


def _capacity(capacity: Obj, path: str) -> list[Cause]:
    causes = [] if capacity else [required(path)]
    if list(capacity) != ["storage"]:
        wrong = unsupported(path, capacity, ["storage"])
        shown = wrong.message if capacity else wrong.message.replace("{}", "null", 1)
        causes.append(Cause(path, wrong.reason, shown))
    for name, value in capacity.items():
        field, number = f"{path}[{name}]", quantity.parse(value)
        if number < 0:
            causes.append(bad(field, quantity.whole(value), "must be a valid resource quantity"))
        if number <= 0:
            causes.append(bad(field, value, checks.NOT_POSITIVE))
    return causes


def _node_affinity(wanted: Obj, path: str) -> list[Cause]:
    if "required" in wanted:
        return affinity.node_selector(wanted["required"], f"{path}.required")
    return [required(f"{path}.required", "must specify required node constraints")]


def _source(found: Obj, path: str, name: str) -> list[Cause]:
    causes: list[Cause] = []
    number = 0
    for field, check, where, second in SOURCES:
        if field not in found:
            continue
        number += 1
        if number > 1 and field != "flexVolume":
            causes.append(forbidden(f"{path}.{second or field}", MORE_THAN_ONE))
            continue
        if field == "iscsi":
            causes += types.iscsi_persistent(found[field], f"{path}.iscsi", name)
        else:
            causes += check(found[field], f"{path}.{where or field}")
        if field == "local" and "nodeAffinity" not in found:
            causes.append(required(f"{path}.nodeAffinity", "Local volume requires node affinity"))
    return causes if number else [*causes, required(path, "must specify a volume type")]


def _attributes(found: Obj, path: str) -> list[Cause]:
    name, field = found.get("volumeAttributesClassName"), f"{path}.volumeAttributesClassName"
    if name is None:
        return []
    causes = checks.dns_subdomain(name, field) if name else [required(field, "an empty string is disallowed")]
    if "csi" not in found:
        text = "has to be specified when using volumeAttributesClassName"
        causes.append(required(f"{path}.csi", text))
    return causes


def validate(obj: Obj) -> list[Cause]:
    """What is wrong with a volume."""
    return spec(obj.get("spec") or {}, "spec", obj["metadata"].get("name") or "")


def changed(new: Obj, old: Obj) -> list[Cause]:
    """A volume keeps its source, its mode and where it can be used."""
    causes = 2 * (objectmeta.of_kind(new, "", "PersistentVolume") + validate(new))
    mine, theirs = ({f: v for f, v in obj["spec"].items() if f in NAMES} for obj in (new, old))
    if "csi" in theirs and SECRETS[1] not in theirs["csi"] and SECRETS[1] in mine.get("csi", {}):
        mine = copy.deepcopy(mine)
        del mine["csi"][SECRETS[1]]
    if not checks.semantic(mine, theirs):
        text = "spec.persistentvolumesource is immutable after creation\n"
        text += layouts.difference("core.PersistentVolumeSource", theirs, mine)
        causes.append(forbidden("spec.persistentvolumesource", text))
    causes += checks.unchanged(new["spec"].get("volumeMode"), old["spec"].get("volumeMode"), "volumeMode")
    was, now = old["spec"].get("nodeAffinity"), new["spec"].get("nodeAffinity")
    if was is not None and not checks.semantic(now, was):
        shown = layouts.shown("*core.VolumeNodeAffinity", now)
        text = "field is immutable, except for updating from beta label to GA"
        causes.append(bad("nodeAffinity", shown, text))
    name = "volumeAttributesClassName"
    if old["spec"].get(name) is not None and new["spec"].get(name) is None:
        causes.append(forbidden(f"spec.{name}", "update from non-nil value to nil is forbidden"))
    return causes


NAMES = {field for field, *_ in SOURCES}
VOLUME = Strategy(
    default=default,
    on_create=on_create,
    validate=validate,
    validate_update=changed,
    parts={"status": Part(validate=objectmeta.changed)},
    keeps_status_on_create=True,
    returns_deleted=True,
    has_generation=False,
)
