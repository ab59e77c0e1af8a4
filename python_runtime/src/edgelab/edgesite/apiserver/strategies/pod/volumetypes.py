"""Where a volume's files come from, kind by kind (`pkg/apis/core/validation`: validate*VolumeSource)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from edgelab.edgesite.apiserver.invalid import Cause, bad, forbidden, required, unsupported
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.objects import quantity

Obj = dict[str, Any]
Validator = Callable[[Obj, str], list[Cause]]

MODE_TEXT = "must be a number between 0 and 0777 (octal), both inclusive"
HOST_PATH_TYPES = ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate"]
HOST_PATH_TYPES += ["Socket"]
IQN = re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9\-.]+)(:[^,;*&$|\s]+)$")
OTHER_INITIATORS = {"eui": re.compile(r"eui.[A-Za-z0-9]{16}"), "naa": re.compile(r"naa.[A-Za-z0-9]{32}")}
CACHING = ["None", "ReadOnly", "ReadWrite"]
DISKS = ["Dedicated", "Managed", "Shared"]


def needs(*fields: str) -> Validator:
    """A source that only has to name some things."""

    def check(source: Obj, path: str) -> list[Cause]:
        return [required(f"{path}.{field}") for field in fields if not source.get(field)]

    return check


def mode(source: Obj, field: str, path: str) -> list[Cause]:
    """Permission bits."""
    value = source.get(field)
    return [] if value is None or 0 <= value <= 0o777 else [bad(f"{path}.{field}", value, MODE_TEXT)]


def empty_dir(source: Obj, path: str) -> list[Cause]:
    """emptyDir."""
    if quantity.parse(source.get("sizeLimit") or 0) < 0:
        return [forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")]
    return []


def host_path(source: Obj, path: str) -> list[Cause]:
    """hostPath."""
    if not source.get("path"):
        return [required(f"{path}.path")]
    causes = checks.no_backsteps(source["path"], f"{path}.path")
    return causes + checks.choice(source.get("type") or "", f"{path}.type", HOST_PATH_TYPES, needed=False)


def git_repo(source: Obj, path: str) -> list[Cause]:
    """gitRepo."""
    causes = needs("repository")(source, path)
    return causes + checks.descending(source.get("directory") or "", f"{path}.directory")


def _disk(name: str) -> Validator:
    def check(source: Obj, path: str) -> list[Cause]:
        causes, partition = needs(name)(source, path), source.get("partition") or 0
        if not 0 <= partition <= 255:
            causes.append(bad(f"{path}.partition", partition, "must be between 1 and 255, inclusive"))
        return causes

    return check


def key_to_path(item: Obj, path: str) -> list[Cause]:
    """A key of a Secret or ConfigMap and its file."""
    causes = needs("key", "path")(item, path)
    return causes + checks.local_path(item.get("path") or "", f"{path}.path") + mode(item, "mode", path)


def keyed(name: str) -> Validator:
    """Secret or ConfigMap as files."""

    def check(source: Obj, path: str) -> list[Cause]:
        causes = needs(name)(source, path) + mode(source, "defaultMode", path)
        for position, item in enumerate(source.get("items") or ()):
            causes += key_to_path(item, f"{path}.items[{position}]")
        return causes

    return check


def nfs(source: Obj, path: str) -> list[Cause]:
    """nfs."""
    causes, where = needs("server", "path")(source, path), source.get("path") or ""
    if not where.startswith("/"):
        causes.append(bad(f"{path}.path", where, "must be an absolute path"))
    return causes


def _initiator(value: str, path: str, unknown: str) -> list[Cause]:
    if value[:3] not in ("iqn", "eui", "naa"):
        return [bad(path, value, unknown)]
    pattern = OTHER_INITIATORS.get(value[:3])
    found = IQN.search(value) if pattern is None else pattern.fullmatch(value)
    return [] if found else [bad(path, value, "must be valid format")]


def iscsi(source: Obj, path: str) -> list[Cause]:
    """iscsi of a pod."""
    return _iscsi(source, path, "must be valid format starting with iqn, eui, or naa")


def _iscsi(source: Obj, path: str, unknown: str, extra: list[Cause] | None = None) -> list[Cause]:
    causes = needs("targetPortal")(source, path) + (extra or [])
    name = source.get("iqn") or ""
    causes += _initiator(name, f"{path}.iqn", unknown) if name else [required(f"{path}.iqn")]
    lun = source.get("lun") or 0
    if not 0 <= lun <= 255:
        causes.append(bad(f"{path}.lun", lun, "must be between 0 and 255, inclusive"))
    chap = source.get("chapAuthDiscovery") or source.get("chapAuthSession")
    secret = source.get("secretRef")
    if chap and secret is None:
        causes.append(required(f"{path}.secretRef"))
    if extra is not None and secret is not None and not secret.get("name"):
        causes.append(required(f"{path}.secretRef.name"))
    initiator = source.get("initiatorName")
    if initiator is not None:
        causes += _initiator(initiator, f"{path}.initiatorname", unknown)
    return causes


def iscsi_persistent(source: Obj, path: str, name: str) -> list[Cause]:
    """iscsi of a PersistentVolume."""
    portal, extra = source.get("targetPortal") or "", []
    if source.get("initiatorName") is not None and len(f"{name}:{portal}") > 64:
        text = (
            "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if"
            " iscsi.initiatorName is specified."
        )
        extra.append(bad(f"{path}.targetportal", portal, text))
    return _iscsi(source, path, "must be valid format", extra)


def fibre_channel(source: Obj, path: str) -> list[Cause]:
    """fc."""
    names, identifiers, causes = source.get("targetWWNs") or [], source.get("wwids") or [], []
    if not names and not identifiers:
        causes.append(required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both"))
    if names and identifiers:
        text = "targetWWNs and wwids can not be specified simultaneously"
        causes.append(bad(f"{path}.targetWWNs", names, text))
    lun = source.get("lun")
    if not names:
        return causes
    if lun is None:
        causes.append(required(f"{path}.lun", "lun is required if targetWWNs is specified"))
    elif not 0 <= lun <= 255:
        causes.append(bad(f"{path}.lun", lun, "must be between 0 and 255, inclusive"))
    return causes


def quobyte(source: Obj, path: str) -> list[Cause]:
    """quobyte."""
    registry, causes = source.get("registry") or "", []
    text = "must be a host:port pair or multiple pairs separated by commas"
    if not registry:
        causes.append(required(f"{path}.registry", text))
    elif len(source.get("tenant") or "") >= 65:
        limit = "must be a UUID and may not exceed a length of 64 characters"
        causes.append(required(f"{path}.tenant", limit))
    else:
        pairs = registry.split(",")
        causes += [bad(f"{path}.registry", registry, text) for pair in pairs if pair.count(":") != 1]
    return causes + needs("volume")(source, path)


def flocker(source: Obj, path: str) -> list[Cause]:
    """flocker."""
    name, identity, causes = source.get("datasetName") or "", source.get("datasetUUID"), []
    if not name and not identity:
        causes.append(required(path, "one of datasetName and datasetUUID is required"))
    if name and identity:
        text = "datasetName and datasetUUID can not be specified simultaneously"
        causes.append(bad(path, "resource", text))
    if "/" in name:
        causes.append(bad(f"{path}.datasetName", name, "must not contain '/'"))
    return causes


def _secret(*fields: str) -> Validator:
    def check(source: Obj, path: str) -> list[Cause]:
        secret = source.get("secretRef")
        return [] if secret is None else needs(*fields)(secret, f"{path}.secretRef")

    return check


def both(*parts: Validator) -> Validator:
    """Several validators after another."""
    return lambda source, path: [cause for part in parts for cause in part(source, path)]


def flex(source: Obj, path: str) -> list[Cause]:
    """flexVolume."""
    causes, text = needs("driver")(source, path), "kubernetes.io and k8s.io namespaces are reserved"
    for key in source.get("options") or ():
        namespace = "." + key.partition("/")[0].lower()
        if namespace.endswith((".kubernetes.io", ".k8s.io")):
            causes.append(bad(f"{path}.options[{key}]", key, text))
    return causes


def azure_disk(source: Obj, path: str) -> list[Cause]:
    """azureDisk."""
    causes = needs("diskName", "diskURI")(source, path)
    kind, caching, uri = source.get("kind"), source.get("cachingMode"), source.get("diskURI") or ""
    if caching is not None and caching not in CACHING:
        causes.append(unsupported(f"{path}.cachingMode", caching, CACHING))
    if kind is not None and kind not in DISKS:
        causes.append(unsupported(f"{path}.kind", kind, DISKS))
    managed = (
        "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
    )
    blob = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        causes.append(unsupported(f"{path}.diskURI", uri, [managed]))
    if kind not in (None, "Managed") and not uri.startswith("https://"):
        causes.append(unsupported(f"{path}.diskURI", uri, [blob]))
    return causes


def storage_os(source: Obj, path: str) -> list[Cause]:
    """storageos."""
    name, namespace = source.get("volumeName") or "", source.get("volumeNamespace") or ""
    causes = checks.dns_label(name, f"{path}.volumeName") if name else [required(f"{path}.volumeName")]
    return causes + (checks.dns_label(namespace, f"{path}.volumeNamespace") if namespace else [])


gce_disk, aws_disk = _disk("pdName"), _disk("volumeID")
cinder, storageos = both(needs("volumeID"), _secret("name")), both(storage_os, _secret("name"))
cinder_persistent = both(needs("volumeID"), _secret("name", "namespace"))
storageos_persistent = both(storage_os, _secret("name", "namespace"))
