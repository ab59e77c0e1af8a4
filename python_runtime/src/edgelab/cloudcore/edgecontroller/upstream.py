"""Requests and reports of nodes: who carries out which.

Receives: messages of edged through CloudHub. Sends: answers through CloudHub, in the shapes of
KubeEdge `cloud/pkg/edgecontroller/controller/upstream.go` (docs/reference/protocol.md).
Stores: nothing. Without the API: requests are answered with ServiceUnavailable; the node asks again.
A node may write only its own Node, Lease and pods, and read only what its pods use.
What nobody here knows is not answered, as in the original; `rulestatus` among it, which there a cloud
module sends to another and a node may not.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import msgspec

from edgelab.cloudcore.edgecontroller.events import EventWrites
from edgelab.cloudcore.edgecontroller.leases import NodeLeases
from edgelab.cloudcore.edgecontroller.legacy import LegacyReports
from edgelab.cloudcore.edgecontroller.nodes import NodeWrites
from edgelab.cloudcore.edgecontroller.permissions import Permissions
from edgelab.cloudcore.edgecontroller.pods import PodWrites
from edgelab.cloudcore.edgecontroller.queries import Queries
from edgelab.cloudcore.edgecontroller.requests import Requests
from edgelab.cloudcore.edgecontroller.turns import Turns
from edgelab.cloudcore.interfaces import Courier
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.kube.informer import Informer
from edgelab.kube.interface import KubeApi
from edgelab.protocol.message import Message
from edgelab.protocol.resource import Resource, parse

log = logging.getLogger("edgelab.cloudcore.upstream")

Work: TypeAlias = Callable[[str, Message, Resource], Awaitable[None]]

AT_ONCE = 24
"""Requests of nodes that are carried out at a time. A client of the API server has 32 connections
(`edgelab.kube.requesting`): some stay free for what CloudCore itself has to write."""
REGISTRATION = frozenset({("node", "insert"), ("nodestatus", "insert")})
"""These go first: before its Node is there, a node can neither get a pod nor be looked after. Leases and
statuses may wait a little."""


class Upstream:
    """`handle` treats one message of a node; `present` are the Nodes as the API server has them."""

    def __init__(
        self,
        api: KubeApi,
        courier: Courier,
        queries: Queries,
        permissions: Permissions,
        present: Informer,
        *,
        address: str,
        clock: Clock = SYSTEM,
    ) -> None:
        self._unknown: set[tuple[str, str]] = set()
        self._turns = Turns(AT_ONCE, clock)
        self.nodes = nodes = NodeWrites(api, courier, present, address)
        self._leases = leases = NodeLeases(api, courier)
        nodes.registered = leases.expect_none
        pods = PodWrites(api, courier, permissions)
        events = EventWrites(api)
        self.requests = requests = Requests(api, courier, queries, permissions)
        legacy = LegacyReports(api, courier, nodes, clock)
        self._table: dict[tuple[str, str], Work] = {
            ("node", "insert"): nodes.create,
            ("node", "update"): nodes.update,
            ("node", "query"): requests.query,
            ("nodepatch", "patch"): nodes.patch,
            ("lease", "insert"): leases.write,
            ("lease", "update"): leases.write,
            ("lease", "query"): leases.query,
            ("podpatch", "patch"): pods.patch,
            ("pod", "insert"): pods.create,
            ("pod", "delete"): pods.delete,
            ("event", "insert"): events.create,
            ("event", "update"): events.update,
            ("event", "patch"): events.patch,
            ("configmap", "query"): requests.query,
            ("secret", "query"): requests.query,
            ("persistentvolume", "query"): requests.query,
            ("persistentvolumeclaim", "query"): requests.query,
            ("volumeattachment", "query"): requests.query,
            ("serviceaccounttoken", "query"): requests.token,
            ("certificatesigningrequest", "insert"): requests.create_csr,
            ("certificatesigningrequest", "query"): requests.query,
            ("podstatus", "update"): legacy.pod_status,
            ("nodestatus", "insert"): legacy.register,
            ("nodestatus", "update"): legacy.node_status,
        }

    async def handle(self, node: str, message: Message) -> None:
        """Carry out what a node asks for; failures are answered where the node waits for an answer."""
        resource = parse(message.route.resource)
        kind = (resource.type, message.route.operation)
        work = self._table.get(kind)
        if work is None:
            if kind not in self._unknown:
                self._unknown.add(kind)
                log.warning("node %s sends %s of %r, which nothing here answers", node, kind[1], kind[0])
            return
        await self._turns.take(urgent=kind in REGISTRATION)
        try:
            await work(node, message, resource)
        except (msgspec.DecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("node %s: %s of %s cannot be read: %s", node, kind[1], message.route.resource, error)
        finally:
            self._turns.give()

    def connected(self, node: str) -> None:
        """A node has connected: what was known of it may be old."""
        self._leases.forget(node)

    async def annotate(self, node: str) -> None:
        """Write down on the Node that it is connected here. Raises ApiError, Unreachable."""
        await self.nodes.annotate(node)
