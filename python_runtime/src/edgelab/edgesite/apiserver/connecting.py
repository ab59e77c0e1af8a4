"""Requests that kube-apiserver relays to a kubelet or a service: log, exec, attach, portforward, proxy.

EdgeSite has no path to the nodes: it checks such requests as kube-apiserver does, and says so.
"""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.context import Target
from edgelab.edgesite.apiserver.registry import Registry
from edgelab.edgesite.store import Key
from edgelab.objects.status import ApiError, not_found

Obj = dict[str, Any]

STREAMS = ("attach", "exec", "log", "portforward", "proxy")
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


def refuse(registry: Registry, target: Target, container: str) -> None:
    """Raise the ApiError of a request that cannot be relayed; a log of a pod on no node is empty."""
    obj = codec.decode(registry.get(target.kind, target.namespace, target.name).data)
    if target.kind.name == "Node":
        raise _no_path(target.name, target.subresource)
    if target.kind.name == "Service":
        raise ApiError(503, f'no endpoints available for service "{target.name.partition(":")[0]}"')
    node = (obj.get("spec") or {}).get("nodeName") or ""
    if target.subresource in ("attach", "exec", "log"):
        _check_container(obj, container)
    if target.subresource == "proxy":
        if not (obj.get("status") or {}).get("podIP"):
            raise ApiError(400, "address not allowed")
    elif not node:
        if target.subresource == "log":
            return
        raise ApiError(400, f"pod {target.name} does not have a host assigned")
    elif registry.store.get(Key("nodes", "", node)) is None:
        raise not_found("pods", node)
    raise _no_path(node, target.subresource)


def _check_container(pod: Obj, wanted: str) -> None:
    spec, name = pod.get("spec") or {}, pod["metadata"]["name"]
    names = [item["name"] for item in spec.get("containers") or ()]
    others = [item["name"] for item in spec.get("initContainers") or ()]
    debug = [item["name"] for item in spec.get("ephemeralContainers") or ()]
    wanted = wanted or (pod["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER, "")
    if wanted and wanted not in (*names, *others, *debug):
        raise ApiError(400, f"container {wanted} is not valid for pod {name}")
    if wanted or len(names) <= 1:
        return
    text = f"a container name must be specified for pod {name}, choose one of: [{' '.join(names)}]"
    if others:
        text += f" or one of the init containers: [{' '.join(others)}]"
    raise ApiError(400, text)


def _no_path(node: str, what: str) -> ApiError:
    return ApiError(
        503,
        f'EdgeSite does not relay {what}: it has no path to the kubelet of node "{node}";'
        " use crictl on the node or the streams of CloudCore",
    )
