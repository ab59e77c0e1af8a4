"""What nodes read and write of their Leases, each its own.

A node reads its Lease before each renewal. Once it has read or written it here, the API server's last
answer answers the next read too: that is half of what a thousand idle nodes ask. If somebody else has
changed or deleted the Lease meanwhile, the renewal is refused (409, 404) and the next read goes to the
API server. A Node that was created just now has no Lease, and its node is told so without asking; should
there be one of an earlier Node of the name, creating it is refused (409), and the next read finds it.
"""

from __future__ import annotations

import logging

from edgelab.cloudcore.edgecontroller.nodes import own, typed
from edgelab.cloudcore.interfaces import Courier
from edgelab.cloudcore.replies import Replier, answer, missing, object_resp
from edgelab.daemon.errors import Unreachable
from edgelab.kube.impersonation import is_acting
from edgelab.kube.interface import KubeApi, Obj
from edgelab.kube.resources import LEASE_NAMESPACE, LEASES
from edgelab.objects.status import ApiError
from edgelab.protocol.content.objects import ObjectResponse
from edgelab.protocol.message import Message
from edgelab.protocol.resource import Resource

log = logging.getLogger("edgelab.cloudcore.upstream")

MOST_KNOWN = 8192
"""Answers that are kept, 1 KiB each; beyond, the oldest is dropped and asked for again."""


class NodeLeases:
    """A node that acts with its own rights is let read by the API server, each time."""

    def __init__(self, api: KubeApi, courier: Courier) -> None:
        self._api = api
        self._courier = courier
        self._reply = Replier(courier)
        self._known: dict[str, ObjectResponse] = {}
        self._none: set[str] = set()

    def forget(self, node: str) -> None:
        """It has connected anew: another CloudCore may have written its Lease in between."""
        self._known.pop(node, None)
        self._none.discard(node)

    def expect_none(self, node: str) -> None:
        """Its Node was created just now."""
        self._none.add(node)

    async def write(self, node: str, message: Message, resource: Resource) -> None:
        """The node lives."""
        if not _own(node, message, resource):
            return
        body = typed(message.object(), "Lease", LEASES.api_version)
        self._none.discard(node)
        call = self._api.create if message.route.operation == "insert" else self._api.update
        try:
            written = await call(LEASES, body, LEASE_NAMESPACE)
        except (ApiError, Unreachable) as error:
            self.forget(node)
            self._reply.refused(node, message, error)
            return
        self._tell(node, message, written)

    async def query(self, node: str, message: Message, resource: Resource) -> None:
        """The node's Lease as it was last seen here, or as the API has it."""
        if not _own(node, message, resource):
            return
        known = None if is_acting() else self._known.get(node)
        if known is not None:
            self._courier.send(node, answer(message, known))
            return
        if node in self._none and not is_acting():
            error: ApiError | Unreachable = ApiError(404, "", reason="NotFound")
            self._reply.refused(node, message, missing(error, "lease", node, LEASES.group))
            return
        try:
            found = await self._api.get(LEASES, node, LEASE_NAMESPACE)
        except (ApiError, Unreachable) as error:
            self._reply.refused(node, message, missing(error, "lease", node, LEASES.group))
            return
        self._tell(node, message, found)

    def _tell(self, node: str, message: Message, lease: Obj) -> None:
        response = object_resp(lease)
        self._known[node] = response
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._courier.send(node, answer(message, response))


def _own(node: str, message: Message, resource: Resource) -> bool:
    if resource.namespace == LEASE_NAMESPACE:
        return own(node, message, resource)
    log.warning("node %s may not %s %s", node, message.route.operation, message.route.resource)
    return False
