"""What nodes ask for: objects that their pods use, tokens of their accounts, certificates of their own."""

from __future__ import annotations

from collections.abc import Callable

from edgelab.cloudcore.edgecontroller.nodes import typed
from edgelab.cloudcore.edgecontroller.permissions import Permissions, check_request
from edgelab.cloudcore.edgecontroller.queries import Queries
from edgelab.cloudcore.interfaces import Courier
from edgelab.cloudcore.replies import Replier
from edgelab.daemon.errors import Unreachable
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import CSRS
from edgelab.objects.status import ApiError
from edgelab.protocol.message import Message
from edgelab.protocol.resource import Resource
from edgelab.protocol.session.delivery import of_object


class Requests:
    """Errors go back bare, in the place of the object (`{"ErrStatus": ...}`).

    `on_request` is called with each certificate request that was made for a node.
    """

    def __init__(self, api: KubeApi, courier: Courier, queries: Queries, permissions: Permissions) -> None:
        self._api = api
        self._courier = courier
        self._reply = Replier(courier)
        self._queries = queries
        self._permissions = permissions
        self.on_request: Callable[[Obj], None] = lambda created: None

    async def query(self, node: str, message: Message, resource: Resource) -> None:
        """Raw objects; those that edges keep are delivered reliably, as answer and push in one."""
        try:
            self._permissions.check_read(node, resource)
            obj = await self._queries.get(resource)
            self._permissions.check_object(node, resource, obj)
        except (ApiError, Unreachable) as error:
            self._reply.failed(node, message, error)
            return
        if resource.type in self._queries.acknowledged:
            delivery = of_object(obj, "response", parent_id=message.id, address=message.route.resource)
            self._courier.push(node, delivery)
        else:
            self._reply.raw(node, message, obj)

    async def token(self, node: str, message: Message, resource: Resource) -> None:
        """A token of a ServiceAccount that the node's pods run as."""
        request: Obj = message.object() or {}
        try:
            self._permissions.check_token(node, resource, request)
            token = await self._queries.token(resource.namespace, resource.name, request)
        except (ApiError, Unreachable) as error:
            self._reply.failed(node, message, error)
            return
        self._reply.raw(node, message, token)

    async def create_csr(self, node: str, message: Message, resource: Resource) -> None:
        """A request for a certificate; one for a kubelet has to name this node."""
        body = typed(message.object(), CSRS.kind, CSRS.api_version)
        await self._reply.wrapped(node, message, self._create_csr(node, resource, body))

    async def _create_csr(self, node: str, resource: Resource, body: Obj) -> Obj:
        check_request(node, resource, body)
        created = await self._api.create(CSRS, body)
        self.on_request(created)
        return created
