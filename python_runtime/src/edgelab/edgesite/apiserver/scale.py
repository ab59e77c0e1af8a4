"""The scale subresource (autoscaling/v1 Scale) of workloads and custom resources."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver.invalid import Cause, bad
from edgelab.edgesite.apiserver.kinds import Kind
from edgelab.objects.selectors import format_labels
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

IDENTITY = ("name", "namespace", "uid", "resourceVersion")
BUILTIN = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}


def _paths(kind: Kind) -> dict[str, str]:
    if kind.custom is not None and kind.custom.scale is not None:
        return kind.custom.scale
    return BUILTIN


def _dig(obj: Obj, path: str) -> Any:
    node: Any = obj
    for part in filter(None, path.split(".")):
        node = node.get(part) if isinstance(node, dict) else None
    return node


def read(kind: Kind, obj: Obj, *, strict: bool = False) -> Obj:
    """The Scale of an object; if `strict`, the object must have replicas. Raises ApiError 500."""
    paths, metadata = _paths(kind), obj["metadata"]
    status: Obj = {"replicas": int(_dig(obj, paths.get("statusReplicasPath", "")) or 0)}
    if kind.custom is None:
        selector = (obj.get("spec") or {}).get("selector")
        status["selector"] = format_labels(
            selector if kind.name != "ReplicationController" else {"matchLabels": selector}
        )
    elif (selector := _dig(obj, paths.get("labelSelectorPath") or ".")) and isinstance(selector, str):
        status["selector"] = selector
    kept = {
        key: metadata[key]
        for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        if key in metadata
    }
    replicas = _dig(obj, paths["specReplicasPath"])
    if strict and kind.custom is not None and replicas is None:
        text = f'the spec replicas field "{paths["specReplicasPath"]}" does not exist'
        details = {"causes": [{"message": text}]}
        raise ApiError(500, f"Internal error occurred: {text}", reason="InternalError", details=details)
    spec = {"replicas": int(replicas)} if replicas else {}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": kept, "spec": spec, "status": status}


def problems(scale: Obj) -> list[Cause]:
    """What is wrong with a Scale."""
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    if replicas >= 0:
        return []
    return [bad("spec.replicas", replicas, "must be greater than or equal to 0")]


def configuration(kind: Kind, scale: Obj) -> Obj:
    """What an applied Scale says of the object itself."""
    metadata = {key: value for key, value in (scale.get("metadata") or {}).items() if key in IDENTITY}
    result: Obj = {"apiVersion": kind.api_version, "kind": kind.name, "metadata": metadata}
    spec = scale.get("spec") or {}
    if spec.get("replicas") is None:
        return result
    node = result
    *parents, last = filter(None, _paths(kind)["specReplicasPath"].split("."))
    for part in parents:
        node = node.setdefault(part, {})
    node[last] = spec["replicas"]
    return result


def write(kind: Kind, obj: Obj, scale: Obj) -> Obj:
    """The object with the replicas of a Scale."""
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    new = {**obj, "metadata": dict(obj["metadata"])}
    version = (scale.get("metadata") or {}).get("resourceVersion")
    if version:
        new["metadata"]["resourceVersion"] = version
    node = new
    *parents, last = filter(None, _paths(kind)["specReplicasPath"].split("."))
    for part in parents:
        node[part] = dict(node.get(part) or {})
        node = node[part]
    node[last] = replicas
    return new
