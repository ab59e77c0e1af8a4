"""Environment, mounts and devices of a container (`pkg/apis/core/validation`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgelab.edgesite.apiserver import names
from edgelab.edgesite.apiserver.invalid import Cause, bad, forbidden, not_found_value, required, unsupported
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.pod import downward

Obj = dict[str, Any]

PROPAGATIONS = ["Bidirectional", "HostToContainer", "None"]
RECURSIVE = ["Disabled", "Enabled", "IfPossible"]


def env(container: Obj, path: str) -> list[Cause]:
    """Variables."""
    causes: list[Cause] = []
    for position, variable in enumerate(container.get("env") or ()):
        field, name = f"{path}.env[{position}]", variable.get("name") or ""
        if not name:
            causes.append(required(f"{field}.name"))
        else:
            causes += checks.texts(names.env_name, name, f"{field}.name")
        if "valueFrom" in variable:
            causes += _value_from(variable, f"{field}.valueFrom")
    return causes


def _value_from(variable: Obj, path: str) -> list[Cause]:
    source, causes, number = variable["valueFrom"], [], 0
    for name, check in _SOURCES.items():
        if name in source:
            number += 1
            causes += check(source[name], f"{path}.{name}")
    if number == 0:
        text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        causes.append(bad(path, "", text))
    elif variable.get("value"):
        causes.append(bad(path, "", "may not be specified when `value` is not empty"))
    elif number > 1:
        causes.append(bad(path, "", "may not have more than one field specified at a time"))
    return causes


def _key(selector: Obj, path: str) -> list[Cause]:
    causes, key = checks.dns_subdomain(selector.get("name") or "", f"{path}.name"), selector.get("key") or ""
    field = f"{path}.key"
    return causes + (checks.texts(names.config_key, key, field) if key else [required(field)])


def _file_key(selector: Obj, path: str) -> list[Cause]:
    rules: tuple[tuple[str, Callable[[str, str], list[Cause]]], ...] = (
        ("key", lambda value, field: checks.texts(names.env_name, value, field)),
        ("volumeName", checks.dns_label),
        ("path", checks.no_backsteps),
    )
    causes: list[Cause] = []
    for name, check in rules:
        value, field = selector.get(name) or "", f"{path}.{name}"
        causes += check(value, field) if value else [required(field)]
    return causes


_SOURCES: dict[str, Callable[[Obj, str], list[Cause]]] = {
    "fieldRef": lambda source, path: downward.field_ref(source, downward.ENV_FIELDS, path),
    "resourceFieldRef": lambda source, path: downward.resource_ref(source, path, volume=False),
    "configMapKeyRef": _key,
    "secretKeyRef": _key,
    "fileKeyRef": _file_key,
}


def env_from(container: Obj, path: str) -> list[Cause]:
    """Variables out of ConfigMaps and Secrets; the errors of an item do not tell its position."""
    causes: list[Cause] = []
    for position, item in enumerate(container.get("envFrom") or ()):
        field, number = f"{path}.envFrom[{position}]", 0
        if item.get("prefix"):
            causes += checks.texts(names.env_name, item["prefix"], f"{field}.prefix")
        for name in ("configMapRef", "secretRef"):
            if name not in item:
                continue
            number += 1
            referred, where = item[name].get("name") or "", f"{field}.{name}.name"
            problems = names.subdomain(names.masked(referred))
            causes += [bad(where, referred, text) for text in problems] if referred else [required(where)]
        if number == 0:
            causes.append(bad(f"{path}.envFrom", "", "must specify one of: `configMapRef` or `secretRef`"))
        elif number > 1:
            text = "may not have more than one field specified at a time"
            causes.append(bad(f"{path}.envFrom", "", text))
    return causes


def mounts(container: Obj, volumes: dict[str, Obj], path: str) -> list[Cause]:
    """volumeMounts."""
    causes: list[Cause] = []
    seen: set[str] = set()
    devices = {d.get("name") or "": d.get("devicePath") or "" for d in container.get("volumeDevices") or ()}
    root = f"{path}.volumeMounts"
    for position, mount in enumerate(container.get("volumeMounts") or ()):
        field, name, where = f"{root}[{position}]", mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            causes.append(required(f"{field}.name"))
        if name not in volumes:
            causes.append(not_found_value(f"{field}.name", name))
        if not where:
            causes.append(required(f"{field}.mountPath"))
        if where in seen:
            causes.append(bad(f"{field}.mountPath", where, "must be unique"))
        seen.add(where)
        if name in devices:
            causes.append(bad(f"{field}.name", name, "must not already exist in volumeDevices"))
        if where in devices.values():
            text = "must not already exist as a path in volumeDevices"
            causes.append(bad(f"{field}.mountPath", where, text))
        causes += _below(mount, field, root)
        if "mountPropagation" in mount:
            causes += _propagation(mount["mountPropagation"], container, f"{root}.mountPropagation")
        causes += _recursive(mount, f"{root}.recursiveReadOnly")
    return causes


def _below(mount: Obj, field: str, root: str) -> list[Cause]:
    part, expression, causes = mount.get("subPath"), mount.get("subPathExpr"), []
    if part:
        causes += checks.descending(part, f"{root}.subPath")
    if expression:
        if part:
            text = "subPathExpr and subPath are mutually exclusive"
            causes.append(bad(f"{field}.subPathExpr", expression, text))
        causes += checks.descending(expression, f"{root}.subPathExpr")
    return causes


def _propagation(value: str, container: Obj, path: str) -> list[Cause]:
    causes = [] if value in PROPAGATIONS else [unsupported(path, value, PROPAGATIONS)]
    if value == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
        text = "Bidirectional mount propagation is available only to privileged containers"
        causes.append(forbidden(path, text))
    return causes


def _recursive(mount: Obj, path: str) -> list[Cause]:
    value, causes = mount.get("recursiveReadOnly"), []
    if value is None or value == "Disabled":
        return []
    if value not in RECURSIVE:
        return [unsupported(path, value, RECURSIVE)]
    if not mount.get("readOnly"):
        causes.append(forbidden(path, "may only be specified when readOnly is true"))
    if mount.get("mountPropagation") not in (None, "None"):
        text = "may only be specified when mountPropagation is None or not specified"
        causes.append(forbidden(path, text))
    return causes


def devices(container: Obj, volumes: dict[str, Obj], path: str) -> list[Cause]:
    """volumeDevices."""
    causes: list[Cause] = []
    names_seen: set[str] = set()
    paths_seen: set[str] = set()
    mounted = {m.get("name") or "": m.get("mountPath") or "" for m in container.get("volumeMounts") or ()}
    for position, device in enumerate(container.get("volumeDevices") or ()):
        field, name = f"{path}.volumeDevices[{position}]", device.get("name") or ""
        where, volume = device.get("devicePath") or "", volumes.get(device.get("name") or "")
        causes += _device_name(name, volume, names_seen, f"{field}.name")
        if not where:
            causes.append(required(f"{field}.devicePath"))
        if where in paths_seen:
            causes.append(bad(f"{field}.devicePath", where, "must be unique"))
        if ".." in where.split("/"):
            causes.append(bad(f"{field}.devicePath", where, "can not contain backsteps ('..')"))
        else:
            paths_seen.add(where)
        if name in mounted:
            causes.append(bad(f"{field}.name", name, "must not already exist in volumeMounts"))
        if where in mounted.values():
            text = "must not already exist as a path in volumeMounts"
            causes.append(bad(f"{field}.devicePath", where, text))
        if name:
            names_seen.add(name)
    return causes


def _device_name(name: str, volume: Obj | None, seen: set[str], field: str) -> list[Cause]:
    causes = [] if name else [required(field)]
    if name in seen:
        causes.append(bad(field, name, "must be unique"))
    if volume is None:
        causes.append(not_found_value(field, name))
    elif not volume.keys() & {"persistentVolumeClaim", "ephemeral"}:
        text = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
        causes.append(bad(field, name, text))
    return causes
