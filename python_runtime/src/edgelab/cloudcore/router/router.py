"""The router (KubeEdge `cloud/pkg/router`): carries out Rules.

Receives: HTTP requests on its port; uploads of nodes from CloudHub. Sends: messages to nodes, POSTs to
targets, what nodes have to subscribe to. Stores: counters in the rules' status, kept messages in its spool.
Without the API server: the rules of the last list go on, counters are written later. Without the node: 503,
or the spool. Without the target: the message counts as failed.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from edgelab.cloudcore.router.access import Access
from edgelab.cloudcore.router.counters import Counters
from edgelab.cloudcore.router.deliveries import Deliveries, Hub
from edgelab.cloudcore.router.downward import Downward
from edgelab.cloudcore.router.edges import Edges
from edgelab.cloudcore.router.listener import Listener
from edgelab.cloudcore.router.outward import Outward
from edgelab.cloudcore.router.rest import Rest
from edgelab.cloudcore.router.rules import Rule
from edgelab.cloudcore.router.spool import Spool
from edgelab.cloudcore.router.table import RuleTable
from edgelab.cloudcore.router.upward import Upward
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.kube.informer import Informer, Key
from edgelab.kube.interface import KubeApi, Obj
from edgelab.protocol.message import Message
from edgelab.settings.cloudcore import CloudCore


class Router:
    """A module; `listener` is the other one, which begins when the rules are known."""

    name = "router/work"

    def __init__(
        self,
        settings: CloudCore,
        api: KubeApi,
        hub: Hub,
        sock: socket.socket,
        *,
        secrets: Mapping[Key, Obj],
        exists: Callable[[str], bool],
        holder: Callable[[str], str],
        clock: Clock = SYSTEM,
    ) -> None:
        own, timeout = settings.edgelab.router, float(settings.modules.router.restTimeout)
        self.table = RuleTable()
        self.counters = Counters(api, clock)
        self._edges = Edges(self.table, hub)
        self._deliveries = Deliveries(hub)
        self._spool = Spool(Path(own.spoolDirectory), own.spoolBytes)
        self._downward = Downward(
            hub, self._deliveries, self.table, self.counters, self._spool, exists=exists, holder=holder
        )
        self._outward = Outward()
        self._upward = Upward(hub, self.table, self.counters, self._downward, self._outward, timeout=timeout)
        self._access = Access(secrets)
        self._rest = Rest(self.table, self.counters, self._downward, self._access, timeout=timeout)
        self.listener = Listener(self._rest.handle, sock, own, clock)
        self.table.changed.append(self._changed)

    def follow(self, rules: Informer, endpoints: Informer) -> None:
        """Install the rules there are, now and later."""
        self.counters.follow(rules)
        self.table.follow(rules, endpoints)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._spool.open()
        try:
            async with self._outward:
                await asyncio.get_running_loop().create_future()
        finally:
            await self._upward.close()
            await self._downward.close()
            await self._spool.close()

    def connected(self, node: str) -> None:
        """A node has connected."""
        self._edges.bring(node)
        self._downward.connected(node)

    def disconnected(self, node: str) -> None:
        """A session of a node has ended."""
        self._deliveries.gone(node)

    async def handle(self, node: str, message: Message) -> None:
        """Treat a node's upload; waits while a rule's queue is full."""
        route = message.route
        if message.parent_id:
            self._deliveries.replied(node, message)
        elif route.source == "servicebus":
            rule = self.table.of_url(node, route.resource)
            if rule is not None:
                self._upward.request(rule, node, message)
        else:
            rule = self.table.of_topic(node, route.resource)
            if rule is not None:
                await self._upward.put(rule, message)
            else:
                self._edges.stray(node, route.resource)

    def _changed(self, old: Rule | None, new: Rule | None) -> None:
        if old is not None and (new is None or new.key != old.key):
            self._upward.forget(old)
            self._access.forget(old)
