"""Fields of a pod as files or variables (downward API)."""

from __future__ import annotations

import re
from typing import Any

from edgelab.edgesite.apiserver.invalid import Cause, bad, required, unsupported
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategies.pod.volumetypes import mode
from edgelab.objects import quantity

Obj = dict[str, Any]

VOLUME_FIELDS = ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace"]
VOLUME_FIELDS += ["metadata.uid"]
ENV_FIELDS = ["metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName"]
ENV_FIELDS += ["spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"]
CONVERTIBLE = {
    *VOLUME_FIELDS,
    *ENV_FIELDS,
    "spec.restartPolicy",
    "spec.schedulerName",
    "status.phase",
    "spec.host",
}
RESOURCES = ["limits.cpu", "limits.ephemeral-storage", "limits.memory"]
RESOURCES += ["requests.cpu", "requests.ephemeral-storage", "requests.memory"]
HUGE_PAGES = ("requests.hugepages-", "limits.hugepages-")
BYTES = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"]
BYTES_OF = {"memory": "memory", "ephemeral-storage": "local ephemeral storage"}


def field_ref(selector: Obj, allowed: list[str], path: str) -> list[Cause]:
    """ObjectFieldSelector."""
    for name in ("apiVersion", "fieldPath"):
        if not selector.get(name):
            return [required(f"{path}.{name}")]
    version, label = selector["apiVersion"], selector["fieldPath"]
    subscript = re.fullmatch(r"(.*)\['(.*)'\]", label)
    base = subscript[1] if subscript else label
    problem = ""
    if version != "v1":
        problem = f"unsupported pod version: {version}"
    elif subscript and base not in ("metadata.annotations", "metadata.labels"):
        problem = f"field label does not support subscript: {label}"
    elif not subscript and label not in CONVERTIBLE:
        problem = f"field label not supported: {label}"
    if problem:
        return [bad(f"{path}.fieldPath", label, f"error converting fieldPath: {problem}")]
    if subscript:
        key = subscript[2].lower() if base == "metadata.annotations" else subscript[2]
        return checks.label_name(key, path)
    label = "spec.nodeName" if label == "spec.host" else label
    return [] if label in allowed else [unsupported(f"{path}.fieldPath", label, allowed)]


def resource_ref(selector: Obj, path: str, *, volume: bool) -> list[Cause]:
    """ResourceFieldSelector."""
    causes, resource = [], selector.get("resource") or ""
    if volume and not selector.get("containerName"):
        causes.append(required(f"{path}.containerName"))
    elif not resource:
        causes.append(required(f"{path}.resource"))
    elif resource not in RESOURCES and not resource.startswith(HUGE_PAGES):
        causes.append(unsupported(f"{path}.resource", resource, RESOURCES))
    return causes + _divisor(resource, selector.get("divisor") or "0", path)


def _divisor(resource: str, divisor: str, path: str) -> list[Cause]:
    if quantity.parse(divisor) == 0:
        return []
    what = resource.partition(".")[2]
    field = f"{path}.divisor"
    if resource in RESOURCES and what == "cpu":
        text = "only divisor's values 1m and 1 are supported with the cpu resource"
        return [] if divisor in ("1m", "1") else [bad(field, resource, text)]
    named = BYTES_OF.get(what, "hugepages")
    if (resource in RESOURCES or resource.startswith(HUGE_PAGES)) and divisor not in BYTES:
        text = f"only divisor's values {', '.join(BYTES)} are supported with the {named} resource"
        return [bad(field, resource, text)]
    return []


def file(item: Obj, path: str) -> list[Cause]:
    """DownwardAPIVolumeFile."""
    where = item.get("path") or ""
    causes = [] if where else [required(f"{path}.path")]
    causes += checks.local_path(where, f"{path}.path")
    if "fieldRef" in item:
        causes += field_ref(item["fieldRef"], VOLUME_FIELDS, f"{path}.fieldRef")
        if "resourceFieldRef" in item:
            text = "fieldRef and resourceFieldRef can not be specified simultaneously"
            causes.append(bad(path, "resource", text))
    elif "resourceFieldRef" in item:
        causes += resource_ref(item["resourceFieldRef"], f"{path}.resourceFieldRef", volume=True)
    else:
        causes.append(required(path, "one of fieldRef and resourceFieldRef is required"))
    return causes + mode(item, "mode", path)


def source(volume: Obj, path: str) -> list[Cause]:
    """A downwardAPI volume; its files are named without their position."""
    causes = mode(volume, "defaultMode", path)
    for item in volume.get("items") or ():
        causes += file(item, path)
    return causes
