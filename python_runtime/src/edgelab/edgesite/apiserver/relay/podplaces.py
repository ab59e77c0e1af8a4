"""Where the kubelet serves a pod's logs, commands and ports (`pkg/registry/core/pod/strategy.go`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.context import Target
from edgelab.edgesite.apiserver.registry import Registry
from edgelab.edgesite.apiserver.relay import nodes, options
from edgelab.edgesite.apiserver.relay.places import Place, encoded
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


class PodPlaces:
    """Of pods as they are stored; node addresses are taken in the order of `preferred`."""

    def __init__(self, registry: Registry, preferred: tuple[str, ...]) -> None:
        self._registry = registry
        self._preferred = preferred

    def log(self, target: Target, wanted: options.LogOptions) -> Place | None:
        """None for a pod that has no node: its log is empty. Raises ApiError."""
        pod = self._pod(target)
        container = _container(pod, wanted.container)
        if not _node(pod):
            return None
        return self._kubelet(pod, f"/containerLogs/{_path(pod)}/{container}", wanted.parameters)

    def stream(self, target: Target, wanted: options.StreamOptions) -> Place:
        """Of exec and attach. Raises ApiError."""
        pod = self._pod(target)
        container = _container(pod, wanted.container)
        return self._kubelet(pod, f"/{target.subresource}/{_path(pod)}/{container}", wanted.parameters())

    def ports(self, target: Target, parameters: options.Pairs) -> Place:
        """Of portforward. Raises ApiError."""
        pod = self._pod(target)
        return self._kubelet(pod, f"/portForward/{_path(pod)}", parameters)

    def _pod(self, target: Target) -> Obj:
        obj: Obj = codec.decode(self._registry.get(target.kind, target.namespace, target.name).data)
        return obj

    def _kubelet(self, pod: Obj, path: str, parameters: options.Pairs) -> Place:
        node = _node(pod)
        if not node:
            raise ApiError(400, f"pod {pod['metadata']['name']} does not have a host assigned")
        found = nodes.kubelet(self._registry.store, node, self._preferred, "pods")
        return Place("https", found.host, found.port, path, encoded(parameters), trusted=True)


def _node(pod: Obj) -> str:
    return (pod.get("spec") or {}).get("nodeName") or ""


def _path(pod: Obj) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"


def _container(pod: Obj, wanted: str) -> str:
    """The container that is meant. Raises ApiError 400."""
    spec, name = pod.get("spec") or {}, pod["metadata"]["name"]
    names = [str(item["name"]) for field in CONTAINERS for item in spec.get(field) or ()]
    if wanted:
        if wanted not in names:
            raise ApiError(400, f"container {wanted} is not valid for pod {name}")
        return wanted
    plain: list[Obj] = spec.get("containers") or []
    if len(plain) == 1:
        return str(plain[0]["name"])
    text = f"a container name must be specified for pod {name}"
    raise ApiError(400, f"{text}, choose one of: [{' '.join(names)}]" if plain else text)
