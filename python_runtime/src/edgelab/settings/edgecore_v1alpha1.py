"""Reading files written for edgecore.config.kubeedge.io/v1alpha1 (KubeEdge up to 1.14).

The old `edged` section was flat. What still has a meaning moves to its place in v1alpha2; what has none
is named with the reason. Source: KubeEdge's v1alpha1 and v1alpha2 `types.go`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from edgelab.settings.document import Problem

V1ALPHA1 = "edgecore.config.kubeedge.io/v1alpha1"
V1ALPHA2 = "edgecore.config.kubeedge.io/v1alpha2"

_DOCKERSHIM = "dockershim was EdgeCore's own socket; Docker itself is reached at containerRuntimeEndpoint"
DOCKER_SOCKET = "unix:///var/run/docker.sock"
RUNTIME_KEYS = ("runtimeType", "containerRuntime")
_CNI = "the container runtime's own configuration decides about CNI"
REMOVED = {
    "edgedMemoryCapacity": "the node's memory is read from the machine",
    "imagePullProgressDeadline": "the container runtime decides about pulls",
    "concurrentConsumers": "every pod has its own worker",
    "devicePluginEnabled": "device plugins are not offered",
    "gpuPluginEnabled": "device plugins are not offered",
    "cniConfDir": _CNI,
    "cniBinDir": _CNI,
    "cniCacheDirs": _CNI,
    "networkPluginName": _CNI,
    "networkPluginMTU": _CNI,
    "enableMetrics": "metrics are always served on readOnlyPort",
    "annotations": "set annotations on the Node with kubectl",
}
RENAMED = {
    "labels": "nodeLabels",
    "maximumDeadContainersPerPod": "maxPerPodContainerCount",
    "interfaceName": "customInterfaceName",
}


def _same(value: Any) -> Any:
    return value


def _in_seconds(value: Any) -> Any:
    return f"{value}s" if isinstance(value, int) else value


def _in_minutes(value: Any) -> Any:
    return f"{value}m" if isinstance(value, int) else value


def _in_nanoseconds(value: Any) -> Any:
    return f"{value}ns" if isinstance(value, int) else value


def _addresses(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


KUBELET: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "nodeStatusUpdateFrequency": ("nodeStatusUpdateFrequency", _in_seconds),
    "runtimeRequestTimeout": ("runtimeRequestTimeout", _in_minutes),
    "volumeStatsAggPeriod": ("volumeStatsAggPeriod", _in_nanoseconds),
    "imageGCHighThreshold": ("imageGCHighThresholdPercent", _same),
    "imageGCLowThreshold": ("imageGCLowThresholdPercent", _same),
    "remoteRuntimeEndpoint": ("containerRuntimeEndpoint", _same),
    "remoteImageEndpoint": ("imageServiceEndpoint", _same),
    "clusterDNS": ("clusterDNS", _addresses),
    "clusterDomain": ("clusterDomain", _same),
    "registerNode": ("registerNode", _same),
    "taints": ("registerWithTaints", _same),
    "cgroupDriver": ("cgroupDriver", _same),
    "cgroupsPerQOS": ("cgroupsPerQOS", _same),
    "cgroupRoot": ("cgroupRoot", _same),
    "edgeCoreCgroups": ("kubeletCgroups", _same),
    "systemCgroups": ("systemCgroups", _same),
}
"""Old key of `edged` -> its key in `tailoredKubeletConfig`, and how its value changes."""


def migrate(document: dict[str, Any]) -> list[Problem]:
    """Change `document` in place to v1alpha2's layout; the findings are warnings, one a key."""
    warnings: list[Problem] = []
    if document.get("apiVersion") == V1ALPHA1:
        document["apiVersion"] = V1ALPHA2
        warnings.append(Problem("apiVersion", f"{V1ALPHA1} is outdated and read as {V1ALPHA2}"))
    modules = document.get("modules")
    if not isinstance(modules, dict):
        return warnings
    if modules.pop("edgeMesh", None) is not None or modules.pop("edgemesh", None) is not None:
        warnings.append(Problem("modules.edgeMesh", "removed: EdgeMesh is a program of its own"))
    manager = modules.get("metaManager")
    if isinstance(manager, dict) and manager.pop("podStatusSyncInterval", None) is not None:
        warnings.append(
            Problem("modules.metaManager.podStatusSyncInterval", "removed: status goes up at once")
        )
    server = manager.get("metaServer") if isinstance(manager, dict) else None
    if isinstance(server, dict) and server.pop("debug", None) is not None:
        warnings.append(
            Problem("modules.metaManager.metaServer.debug", "removed: MetaServer serves without a cloud")
        )
    edged = modules.get("edged")
    if isinstance(edged, dict):
        docker = _runtime(document, edged)
        warnings += [*docker.warnings, *_migrate_edged(edged)]
        if docker.address and isinstance(edged.setdefault("tailoredKubeletConfig", {}), dict):
            edged["tailoredKubeletConfig"].setdefault("containerRuntimeEndpoint", docker.address)
    return warnings


class _Runtime(NamedTuple):
    """Docker's socket if the file chooses Docker, and what became of the keys that say so."""

    address: str
    warnings: list[Problem]


def _runtime(document: dict[str, Any], edged: dict[str, Any]) -> _Runtime:
    warnings = []
    kind = "docker" if "dockerAddress" in edged else ""  # without a type it was Docker then
    for key in [key for key in RUNTIME_KEYS if key in edged]:
        kind = str(edged.pop(key) or "")
        warnings.append(Problem(f"modules.edged.{key}", "moved: now edgelab.runtimeType"))
    address = edged.pop("dockerAddress", None)
    if address is not None:
        used = "moved: now modules.edged.tailoredKubeletConfig.containerRuntimeEndpoint"
        unused = "removed: it is of use with runtimeType docker only"
        warnings.append(Problem("modules.edged.dockerAddress", used if kind == "docker" else unused))
    if kind != "docker":
        return _Runtime("", warnings)
    ours = document.setdefault("edgelab", {})
    if isinstance(ours, dict):
        ours.setdefault("runtimeType", kind)
    return _Runtime(str(address or DOCKER_SOCKET), warnings)


def _migrate_edged(edged: dict[str, Any]) -> list[Problem]:
    warnings: list[Problem] = []
    for key in [key for key in edged if key in REMOVED]:
        del edged[key]
        warnings.append(Problem(f"modules.edged.{key}", f"removed: {REMOVED[key]}"))
    for key in [key for key in edged if key in RENAMED]:
        edged.setdefault(RENAMED[key], edged.pop(key))
        warnings.append(Problem(f"modules.edged.{key}", f"moved: now modules.edged.{RENAMED[key]}"))
    moved = [key for key in edged if key in KUBELET]
    if not moved:
        return warnings
    kubelet = edged.get("tailoredKubeletConfig")
    if not isinstance(kubelet, dict):
        kubelet = edged["tailoredKubeletConfig"] = {}
    for key in moved:
        value = edged.pop(key)
        name, change = KUBELET[key]
        if isinstance(value, str) and "dockershim" in value:
            warnings.append(Problem(f"modules.edged.{key}", f"removed: {_DOCKERSHIM}"))
            continue
        if value is not None:
            kubelet.setdefault(name, change(value))
        warnings.append(
            Problem(f"modules.edged.{key}", f"moved: now modules.edged.tailoredKubeletConfig.{name}")
        )
    return warnings
