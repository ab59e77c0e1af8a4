"""The router (KubeEdge `cloud/pkg/router`): carries out Rules.

Receives: HTTP requests on its port, errands of other CloudCores among them; uploads of nodes from CloudHub.
Sends: messages to nodes, POSTs to targets, what nodes have to subscribe to, errands to the CloudCores that
have other nodes. Stores: counters in the rules' status, kept messages in its spool.
Without the API server: the rules of the last list go on, counters are written later. Without the node: 503,
or the spool. Without the target: the message counts as failed.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from pathlib import Path

from aiohttp import web

from edgelab.cloudcore.router import errands
from edgelab.cloudcore.router.access import Access
from edgelab.cloudcore.router.counters import Counters
from edgelab.cloudcore.router.deliveries import Deliveries, Hub
from edgelab.cloudcore.router.downward import Downward
from edgelab.cloudcore.router.edges import Edges
from edgelab.cloudcore.router.errands import Sealed
from edgelab.cloudcore.router.errandserver import ErrandServer
from edgelab.cloudcore.router.listener import Listener
from edgelab.cloudcore.router.measures import Measures
from edgelab.cloudcore.router.neighbours import Neighbours, own_url
from edgelab.cloudcore.router.outward import Outward
from edgelab.cloudcore.router.peers import Peers
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
        neighbours: Neighbours,
        ca_key: bytes,
        clock: Clock = SYSTEM,
    ) -> None:
        own, timeout = settings.edgelab.router, float(settings.modules.router.restTimeout)
        self.table = RuleTable()
        measures = Measures()
        self.families = measures.families
        self.counters = Counters(api, measures, clock)
        self._edges = Edges(self.table, hub)
        self._deliveries = Deliveries(hub)
        self._spool = Spool(Path(own.spoolDirectory), own.spoolBytes)
        sealed = Sealed(ca_key, neighbours.me, lambda: clock.now().timestamp())
        self._peers = Peers(neighbours, sealed)
        self._downward = Downward(
            hub,
            self._deliveries,
            self.table,
            self.counters,
            self._spool,
            peers=self._peers,
            neighbours=neighbours,
            exists=exists,
            clock=clock,
        )
        self._outward = Outward()
        self._upward = Upward(
            hub,
            self.table,
            self.counters,
            self._downward,
            self._outward,
            measures=measures,
            timeout=timeout,
        )
        self._access = Access(secrets)
        self._rest = Rest(self.table, self.counters, self._downward, self._access, measures, timeout=timeout)
        self._errands = ErrandServer(
            sealed, self._downward, self._rest.budget, lambda: clock.now().timestamp()
        )
        url = own_url(settings, sock.getsockname()[1])
        self.listener = Listener(
            self._serve, sock, own, clock, announce=lambda mark: neighbours.announce(url, mark)
        )
        measures.errands = {"out": self._peers.counts, "in": self._errands.counts}
        measures.waiting = {
            "target": self._upward.__len__,
            "answer": self._deliveries.__len__,
            "node": self._spool.__len__,
        }
        measures.spooled = lambda: self._spool.size
        self.table.changed.append(self._changed)

    def follow(self, rules: Informer, endpoints: Informer) -> None:
        """Install the rules there are, now and later."""
        self.counters.follow(rules)
        self.table.follow(rules, endpoints)

    async def run(self) -> None:
        """Work until cancelled."""
        await self._spool.open()
        try:
            async with self._outward, self._peers:
                try:
                    await self._downward.run()
                finally:  # before the clients that its tasks use
                    await self._upward.close()
                    await self._downward.close()
        finally:
            await self._spool.close()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        handler = self._errands.handle if request.raw_path == errands.PATH else self._rest.handle
        return await handler(request)

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
