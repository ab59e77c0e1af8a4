"""What nodes write of their pods: statuses, ends, and the mirrors of static pods."""

from __future__ import annotations

from typing import Any

from edgelab.cloudcore.edgecontroller.nodes import typed
from edgelab.cloudcore.edgecontroller.permissions import Permissions
from edgelab.cloudcore.interfaces import Courier
from edgelab.cloudcore.replies import Replier
from edgelab.daemon.errors import Unreachable
from edgelab.kube.interface import KubeApi, Obj, PatchType
from edgelab.kube.resources import PODS
from edgelab.objects.status import ApiError
from edgelab.protocol.message import Message
from edgelab.protocol.resource import Resource


class PodWrites:
    """A pod of another node is refused with Forbidden."""

    def __init__(self, api: KubeApi, courier: Courier, permissions: Permissions) -> None:
        self._api = api
        self._reply = Replier(courier)
        self._permissions = permissions

    async def patch(self, node: str, message: Message, resource: Resource) -> None:
        """The pod's status."""
        await self._reply.wrapped(node, message, self._patch(node, message, resource), versioned=True)

    async def create(self, node: str, message: Message, resource: Resource) -> None:
        """The mirror of a static pod."""
        body = typed(message.object(), "Pod", "v1")
        await self._reply.wrapped(node, message, self._create(node, body, resource), versioned=True)

    async def delete(self, node: str, message: Message, resource: Resource) -> None:
        """A pod whose containers have ended goes; one that is gone, or another one, is none of the node's."""
        try:
            self._permissions.check_pod(node, resource)
            await self._api.delete(PODS, resource.name, resource.namespace, options=_options(message))
        except ApiError as error:
            if error.code not in (404, 409):
                self._reply.failed(node, message, error)
                return
        except Unreachable as error:
            self._reply.failed(node, message, error)
            return
        self._reply.ok(node, message)

    async def _patch(self, node: str, message: Message, resource: Resource) -> Obj:
        self._permissions.check_pod(node, resource)
        return await self._api.patch(
            PODS,
            resource.name,
            message.data(),
            resource.namespace,
            patch_type=PatchType.STRATEGIC,
            subresource="status",
        )

    async def _create(self, node: str, body: Obj, resource: Resource) -> Obj:
        self._permissions.check_mirror(node, resource, body)
        return await self._api.create(PODS, body, resource.namespace)


def _options(message: Message) -> Obj:
    """DeleteOptions; releases before them send the bare UID."""
    content: Any = message.value()
    if isinstance(content, str) and not content.startswith("{"):
        content = {"gracePeriodSeconds": 0, "preconditions": {"uid": content}}
    elif isinstance(content, str):
        content = message.object()
    return typed(content or {}, "DeleteOptions", "v1")
