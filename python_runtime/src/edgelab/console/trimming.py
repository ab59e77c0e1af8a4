"""Objects cut down to what rows are made of, so that ten thousand of them fit into little memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgelab.kube.interface import Obj

METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp")


def keeping(*paths: str) -> Callable[[Obj], Obj]:
    """A transform for an informer: the metadata that it needs, and what is at the dotted paths."""

    def cut(obj: Obj) -> Obj:
        found = obj["metadata"]
        kept: Obj = {"metadata": {name: found[name] for name in METADATA if name in found}}
        for path in paths:
            _copy(obj, kept, path.split("."))
        return kept

    return cut


def _copy(source: Any, target: Obj, path: list[str]) -> None:
    """Copy one path; `name[]` steps into each entry of a list, which keeps its order."""
    head, rest = path[0], path[1:]
    name = head.removesuffix("[]")
    if not isinstance(source, dict) or source.get(name) is None:
        return
    value = source[name]
    if not rest:
        target[name] = value
    elif head != name:
        entries = target.setdefault(name, [{} for _ in value])
        for entry, kept in zip(value, entries, strict=True):
            _copy(entry, kept, rest)
    else:
        _copy(value, target.setdefault(name, {}), rest)


NODE = keeping(
    "metadata.labels", "spec.unschedulable", "status.conditions", "status.addresses", "status.nodeInfo"
)
LEASE = keeping("spec.renewTime")
POD = keeping(
    "spec.nodeName",
    "spec.containers[].image",
    "spec.containers[].name",
    "status.phase",
    "status.reason",
    "status.initContainerStatuses[].state",
    "status.containerStatuses[].state",
    "status.containerStatuses[].ready",
    "status.containerStatuses[].restartCount",
)
DEVICE = keeping(
    "spec.nodeName",
    "spec.deviceModelRef",
    "spec.protocol.protocolName",
    "spec.properties[].name",
    "spec.properties[].desired",
)
STATUS = keeping("status.state", "status.lastOnlineTime", "status.twins")
MODEL = keeping(
    "spec.properties[].name",
    "spec.properties[].unit",
    "spec.properties[].type",
    "spec.properties[].accessMode",
)
