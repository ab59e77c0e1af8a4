"""Labels and annotations by which a kubelet finds its containers again (kubelet `kuberuntime/labels.go`)."""

from __future__ import annotations

import json
from typing import Any

from edgelab.edgecore.edged import podspec

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"

HASH = "io.kubernetes.container.hash"
RESTART_COUNT = "io.kubernetes.container.restartCount"
MESSAGE_PATH = "io.kubernetes.container.terminationMessagePath"
MESSAGE_POLICY = "io.kubernetes.container.terminationMessagePolicy"
POD_GRACE = "io.kubernetes.pod.terminationGracePeriod"
PRE_STOP = "io.kubernetes.container.preStopHandler"

CONFIG_SOURCE = "kubernetes.io/config.source"
CONFIG_HASH, CONFIG_SEEN = "kubernetes.io/config.hash", "kubernetes.io/config.seen"
MIRROR = "kubernetes.io/config.mirror"

RESOURCES = "edgelab.io/container.resources"
"""Annotation with what a container was started with."""

RESIZABLE = ("cpu", "memory")

Obj = dict[str, Any]


def fnv32a(data: bytes) -> int:
    """The 32-bit FNV-1a hash."""
    value = 0x811C9DC5
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def container_hash(container: Obj) -> str:
    """Hash of what makes a running container outdated: its name and image, as in the kubelet since 1.31.

    Other fields of a running pod cannot change, or (resources, defaults) must not end its containers.
    """
    return f"{fnv32a(repr((container['name'], container.get('image', ''))).encode()):x}"


def resources_mark(container: Obj) -> str:
    """CPU and memory of a container in short: another mark means other limits."""
    found = {
        kind: {name: podspec.amount(container, kind, name) for name in RESIZABLE}
        for kind in ("requests", "limits")
    }
    return json.dumps(found, sort_keys=True, separators=(",", ":"))


def key(pod: Obj) -> str:
    """`namespace/name`, for people."""
    return f"{pod['metadata'].get('namespace', '')}/{pod['metadata']['name']}"


def described(pod: Obj) -> str:
    """`name_namespace(uid)`: as the kubelet names a pod in its messages."""
    metadata = pod["metadata"]
    return f"{metadata['name']}_{metadata.get('namespace', '')}({metadata.get('uid', '')})"


def uid(pod: Obj) -> str:
    """The pod's uid."""
    return str(pod["metadata"].get("uid", ""))


def pod_labels(pod: Obj) -> dict[str, str]:
    """Labels of the pod's sandbox."""
    metadata = pod["metadata"]
    return {
        **(metadata.get("labels") or {}),
        POD_NAME: metadata["name"],
        POD_NAMESPACE: metadata["namespace"],
        POD_UID: metadata["uid"],
    }


def pod_annotations(pod: Obj) -> dict[str, str]:
    """Annotations of the pod's sandbox."""
    return {CONFIG_SOURCE: "api", **(pod["metadata"].get("annotations") or {})}


def container_labels(pod: Obj, container: Obj) -> dict[str, str]:
    """Labels of one container."""
    metadata = pod["metadata"]
    return {
        POD_NAME: metadata["name"],
        POD_NAMESPACE: metadata["namespace"],
        POD_UID: metadata["uid"],
        CONTAINER_NAME: container["name"],
    }


def container_annotations(pod: Obj, container: Obj, restarts: int) -> dict[str, str]:
    """Annotations of one container."""
    return {
        HASH: container_hash(container),
        RESOURCES: resources_mark(container),
        RESTART_COUNT: str(restarts),
        MESSAGE_PATH: container.get("terminationMessagePath") or "/dev/termination-log",
        MESSAGE_POLICY: container.get("terminationMessagePolicy") or "File",
        POD_GRACE: str(pod["spec"].get("terminationGracePeriodSeconds", 30)),
    }
