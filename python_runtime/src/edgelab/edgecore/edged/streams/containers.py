"""The containers and the sandbox of a pod, as the runtime has them now."""

from __future__ import annotations

from typing import Any

from edgelab.cri.api import runtime_pb2 as pb
from edgelab.cri.runtime import Runtime
from edgelab.edgecore.edged import names
from edgelab.edgecore.kubelet import Refused

Obj = dict[str, Any]

FIELDS = ("initContainers", "containers", "ephemeralContainers")


def names_in(pod: Obj) -> set[str]:
    """The names of all containers that the pod asks for."""
    spec = pod.get("spec") or {}
    return {str(item["name"]) for field in FIELDS for item in spec.get(field) or ()}


async def of(runtime: Runtime, pod: Obj, name: str) -> list[pb.Container]:
    """Those of a name, the newest first. Raises RuntimeUnreachable, CriError."""
    found = await runtime.list_containers({names.POD_UID: names.uid(pod), names.CONTAINER_NAME: name})
    return sorted(found, key=lambda container: container.created_at, reverse=True)


async def running(runtime: Runtime, pod: Obj, name: str) -> str:
    """The id of the one that runs. Raises Refused, RuntimeUnreachable, CriError."""
    if name in names_in(pod):
        for container in await of(runtime, pod, name):
            if container.state == pb.CONTAINER_RUNNING:
                return str(container.id)
    raise Refused(404, f'container not found ("{name}")')


async def sandbox(runtime: Runtime, pod: Obj) -> str:
    """The id of the pod's sandbox. Raises Refused, RuntimeUnreachable, CriError."""
    found = await runtime.list_sandboxes({names.POD_UID: names.uid(pod)})
    ready = [item for item in found if item.state == pb.SANDBOX_READY]
    if not ready:
        raise Refused(404, f'pod "{names.key(pod)}" has no sandbox that is ready')
    return str(max(ready, key=lambda item: item.created_at).id)
