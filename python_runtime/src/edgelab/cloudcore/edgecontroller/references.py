"""Which ConfigMaps, Secrets and claims a pod uses, and therefore which nodes may know them. No I/O.

Facts: KubeEdge `cloud/pkg/edgecontroller/controller` (location cache) scans volumes, `envFrom`,
`env[].valueFrom` and image pull secrets of containers; we read init and ephemeral containers too, and
claims, which nodes ask for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

Obj = dict[str, Any]

SECRET_VOLUMES = (
    "azureFile",
    "cephfs",
    "cinder",
    "flexVolume",
    "iscsi",
    "rbd",
    "scaleIO",
    "storageos",
    "csi",
)


class Reference(NamedTuple):
    """`kind` is `ConfigMap`, `Secret` or `PersistentVolumeClaim`."""

    kind: str
    namespace: str
    name: str


def references(pod: Obj) -> set[Reference]:
    """Everything the pod uses."""
    namespace = pod["metadata"].get("namespace", "")
    spec = pod.get("spec") or {}
    found = {("Secret", item.get("name")) for item in spec.get("imagePullSecrets") or []}
    for volume in spec.get("volumes") or []:
        found.update(_of_volume(volume))
        found.add(("PersistentVolumeClaim", _claim(pod, volume)))
    for part in ("containers", "initContainers", "ephemeralContainers"):
        for container in spec.get(part) or []:
            found.update(_of_container(container))
    return {Reference(kind, namespace, name) for kind, name in found if name}


def _of_volume(volume: Obj) -> Iterator[tuple[str, str | None]]:
    yield "ConfigMap", (volume.get("configMap") or {}).get("name")
    yield "Secret", (volume.get("secret") or {}).get("secretName")
    for source in (volume.get("projected") or {}).get("sources") or []:
        yield "ConfigMap", (source.get("configMap") or {}).get("name")
        yield "Secret", (source.get("secret") or {}).get("name")
    for kind in SECRET_VOLUMES:
        details = volume.get(kind) or {}
        yield "Secret", details.get("secretName")
        for key in ("secretRef", "nodePublishSecretRef"):
            yield "Secret", (details.get(key) or {}).get("name")


def _claim(pod: Obj, volume: Obj) -> str | None:
    """The claim's name; that of a volume which lives as long as its pod is made of both names."""
    if volume.get("ephemeral"):
        return f"{pod['metadata']['name']}-{volume.get('name', '')}"
    name: str | None = (volume.get("persistentVolumeClaim") or {}).get("claimName")
    return name


def _of_container(container: Obj) -> Iterator[tuple[str, str | None]]:
    for source in container.get("envFrom") or []:
        yield "ConfigMap", (source.get("configMapRef") or {}).get("name")
        yield "Secret", (source.get("secretRef") or {}).get("name")
    for variable in container.get("env") or []:
        value = variable.get("valueFrom") or {}
        yield "ConfigMap", (value.get("configMapKeyRef") or {}).get("name")
        yield "Secret", (value.get("secretKeyRef") or {}).get("name")


class ReferenceIndex:
    """Nodes by what their pods use, and pods by node."""

    def __init__(self) -> None:
        self._pods: dict[tuple[str, str], tuple[str, set[Reference]]] = {}
        self._users: defaultdict[Reference, set[tuple[str, str]]] = defaultdict(set)
        self._nodes: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)

    def put(self, key: tuple[str, str], node: str, pod: Obj) -> None:
        """The pod is there, or has changed."""
        used = references(pod)
        if self._pods.get(key) == (node, used):
            return
        self.drop(key)
        self._pods[key] = (node, used)
        self._nodes[node].add(key)
        for reference in used:
            self._users[reference].add(key)

    def drop(self, key: tuple[str, str]) -> None:
        """The pod is gone."""
        node, used = self._pods.pop(key, ("", set()))
        self._discard(self._nodes, node, key)
        for reference in used:
            self._discard(self._users, reference, key)

    def nodes_using(self, reference: Reference) -> set[str]:
        """The nodes with a pod that uses it."""
        return {self._pods[key][0] for key in self._users.get(reference, ())}

    def pods_on(self, node: str) -> list[tuple[str, str]]:
        """The keys of the node's pods."""
        return sorted(self._nodes.get(node, ()))

    @staticmethod
    def _discard(index: Any, at: Any, key: tuple[str, str]) -> None:
        members = index.get(at)
        if members is not None:
            members.discard(key)
            if not members:
                del index[at]
