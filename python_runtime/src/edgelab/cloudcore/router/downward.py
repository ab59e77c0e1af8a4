"""The way to nodes for every rule: where the node is, and what waits for one that is away.

Sends: through `Deliveries` to nodes that are connected here, through `Peers` to those of other CloudCores.
Stores: messages of rules with the annotation `edgelab.io/spool`, while their node can be reached neither way,
in the spool; they leave in their order when it connects, here or elsewhere, before newer ones of their rule.
A message that another CloudCore has sent here is delivered or kept here, and never sent on.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from edgelab.cloudcore.router.counters import Counters
from edgelab.cloudcore.router.deliveries import Answer, Call, Deliveries, Hub
from edgelab.cloudcore.router.errors import Undeliverable, away
from edgelab.cloudcore.router.neighbours import Neighbours
from edgelab.cloudcore.router.peers import Peers
from edgelab.cloudcore.router.rules import Rule
from edgelab.cloudcore.router.spool import Kept, Spool
from edgelab.cloudcore.router.table import RuleTable
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.daemon.tasks import Supervisor
from edgelab.kube.informer import Key

log = logging.getLogger("edgelab.cloudcore.router")

DRAIN_SECONDS = 60.0
"""That a node may take for one kept message."""
LOOK_SECONDS = 5.0
"""Between two looks at whether another CloudCore has a node that messages are kept for."""
UNWANTED = 415
"""How it ends when the node's EdgeCore takes no such message: it will not do so later either."""
UNREACHED = (502, 503)
"""How it ends when the node, or the CloudCore that has it, could not be reached."""


class Downward:
    """Delivers. `exists(node)` says whether there is such a node."""

    def __init__(
        self,
        hub: Hub,
        deliveries: Deliveries,
        table: RuleTable,
        counters: Counters,
        spool: Spool,
        *,
        peers: Peers,
        neighbours: Neighbours,
        exists: Callable[[str], bool],
        clock: Clock = SYSTEM,
    ) -> None:
        self._hub = hub
        self._deliveries = deliveries
        self._table = table
        self._counters = counters
        self._spool = spool
        self._peers = peers
        self._neighbours = neighbours
        self._exists = exists
        self._clock = clock
        self._drains: dict[str, asyncio.Task[None]] = {}
        self._told: set[str] = set()
        self._owner = Supervisor("router/spool")

    async def run(self) -> None:
        """Until cancelled: bring what is kept to nodes that other CloudCores have."""
        while True:
            await self._clock.sleep(LOOK_SECONDS * random.uniform(0.5, 1.0))  # noqa: S311 - spread, not secrecy
            for node in self._spool.nodes():
                if self._reachable(node):
                    self.connected(node)

    def check(self, node: str, *, spool: bool = False) -> None:
        """Raises Undeliverable when nothing can be sent to the node now, nor kept for it."""
        if self._hub.connected(node):
            return
        if not self._exists(node):
            raise Undeliverable(404, f'there is no node "{node}"')
        if self._peers.way(node) is None and not spool:
            raise away(node)

    async def publish(self, rule: Rule, node: str, topic: str, body: bytes, deadline: float) -> bool:
        """Have a node publish; False when the message is kept for later. Raises Undeliverable."""
        keeps = rule.options.spool
        self.check(node, spool=keeps)
        if not keeps:
            return await self._send(rule.key, node, topic, body, deadline, keep=False)
        await self._spool.counted()
        if self._reachable(node) and not self._spool.holds(node, rule.key):
            try:
                return await self._send(rule.key, node, topic, body, deadline, keep=True)
            except Undeliverable as error:
                if self._hub.connected(node) or error.status not in UNREACHED:
                    raise
        await self._keep(rule.key, node, topic, body)
        return False

    async def publish_here(
        self, rule: Key, node: str, topic: str, body: bytes, deadline: float, *, keep: bool
    ) -> bool:
        """What another CloudCore sends: as `publish`, for a node of this one only. Raises Undeliverable.

        It is kept when the rule is known here, whose end would drop it, and the node's Lease names this one.
        """
        if keep:
            await self._spool.counted()
        if self._hub.connected(node) and not (keep and self._spool.holds(node, rule)):
            try:
                await self._deliveries.publish(node, topic, body, deadline)
            except Undeliverable as error:
                if not keep or self._hub.connected(node) or error.status not in UNREACHED:
                    raise
            else:
                return True
        if not keep or self._table.get(rule) is None or not self._neighbours.mine(node):
            raise away(node)
        await self._keep(rule, node, topic, body)
        return False

    async def call(self, node: str, call: Call, deadline: float) -> Answer:
        """Have a node call a service. Raises Undeliverable."""
        self.check(node)
        if self._hub.connected(node):
            return await self._deliveries.call(node, call, deadline)
        return await self._peers.call(node, call, deadline)

    async def call_here(self, node: str, call: Call, deadline: float) -> Answer:
        """What another CloudCore asks: as `call`, of a node of this one only. Raises Undeliverable."""
        if not self._hub.connected(node):
            raise away(node)
        return await self._deliveries.call(node, call, deadline)

    def connected(self, node: str) -> None:
        """The node can be reached: send what was kept for it."""
        if node not in self._drains and self._spool.holds(node):
            self._drains[node] = self._owner.spawn(self._drain(node), node)

    async def close(self) -> None:
        """Stop sending; what is kept stays."""
        await self._owner.close()

    def _reachable(self, node: str) -> bool:
        return self._hub.connected(node) or bool(self._neighbours.other(node))

    async def _send(
        self, rule: Key, node: str, topic: str, body: bytes, deadline: float, *, keep: bool
    ) -> bool:
        """False when another CloudCore keeps it. Raises Undeliverable."""
        if self._hub.connected(node):
            await self._deliveries.publish(node, topic, body, deadline)
            return True
        return await self._peers.publish(rule, node, topic, body, deadline, keep=keep)

    async def _keep(self, rule: Key, node: str, topic: str, body: bytes) -> None:
        await self._spool.keep(node, rule, topic, body)
        if self._hub.connected(node):
            self.connected(node)

    async def _drain(self, node: str) -> None:
        try:
            while self._reachable(node) and (kept := await self._spool.oldest(node)) is not None:
                rule = self._table.get(kept.rule)
                if rule is not None:
                    await self._bring(rule, kept)
                await self._spool.forget(kept)
            self._told.discard(node)
        except Undeliverable as error:
            self._tell(node, error)
        finally:
            del self._drains[node]
        if self._spool.trouble:
            log.error("router: the spool cannot be read: %s", self._spool.trouble)

    async def _bring(self, rule: Rule, kept: Kept) -> None:
        """Raises Undeliverable for what may arrive later."""
        deadline = asyncio.get_running_loop().time() + DRAIN_SECONDS
        try:
            if await self._send(rule.key, kept.node, kept.topic, kept.body, deadline, keep=True):
                self._counters.success(rule)
        except Undeliverable as error:
            if error.status != UNWANTED:
                raise
            self._counters.failure(rule, str(error))

    def _tell(self, node: str, error: Undeliverable) -> None:
        """Say so, once for each time that it begins."""
        if self._reachable(node) and node not in self._told:
            self._told.add(node)
            log.warning("node %s: what was kept for it is tried again later: %s", node, error)
