"""The way to nodes for every rule: where the node is, and what waits for one that is away.

Sends: through `Deliveries`. Stores: messages of rules with the annotation `edgelab.io/spool`, while their
node has no session here, in the spool; they leave in their order when it connects, before newer ones of their
rule.
A node that another CloudCore has is refused by its name: nobody else may send there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from edgelab.cloudcore.router.counters import Counters
from edgelab.cloudcore.router.deliveries import Answer, Call, Deliveries, Hub
from edgelab.cloudcore.router.errors import RETRY_SECONDS, Undeliverable, away
from edgelab.cloudcore.router.rules import Rule
from edgelab.cloudcore.router.spool import Spool
from edgelab.cloudcore.router.table import RuleTable
from edgelab.daemon.tasks import Supervisor

log = logging.getLogger("edgelab.cloudcore.router")

DRAIN_SECONDS = 60.0
"""That a node may take for one kept message."""


class Downward:
    """Delivers. `exists(node)` and `holder(node)` say whether there is such a node, and which other CloudCore
    has it (empty for none)."""

    def __init__(
        self,
        hub: Hub,
        deliveries: Deliveries,
        table: RuleTable,
        counters: Counters,
        spool: Spool,
        *,
        exists: Callable[[str], bool],
        holder: Callable[[str], str],
    ) -> None:
        self._hub = hub
        self._deliveries = deliveries
        self._table = table
        self._counters = counters
        self._spool = spool
        self._exists = exists
        self._holder = holder
        self._drains: dict[str, asyncio.Task[None]] = {}
        self._owner = Supervisor("router/spool")

    def check(self, node: str, *, spool: bool = False) -> None:
        """Raises Undeliverable when nothing can be sent to the node now, nor kept for it."""
        if self._hub.connected(node):
            return
        if not self._exists(node):
            raise Undeliverable(404, f'there is no node "{node}"')
        if other := self._holder(node):
            text = f"node {node} is connected to CloudCore {other}; send it there"
            raise Undeliverable(503, text, retry_after=RETRY_SECONDS)
        if not spool:
            raise away(node)

    async def publish(self, rule: Rule, node: str, topic: str, body: bytes, deadline: float) -> bool:
        """Have a node publish; False when the message is kept for later. Raises Undeliverable."""
        keeps = rule.options.spool
        self.check(node, spool=keeps)
        if not keeps:
            await self._deliveries.publish(node, topic, body, deadline)
            return True
        if self._hub.connected(node) and not self._spool.holds(node, rule.key):
            try:
                await self._deliveries.publish(node, topic, body, deadline)
            except Undeliverable as error:
                if self._hub.connected(node) or error.status != 503:
                    raise
            else:
                return True
        await self._spool.keep(node, rule.key, topic, body)
        if self._hub.connected(node):
            self.connected(node)
        return False

    async def call(self, node: str, call: Call, deadline: float) -> Answer:
        """Have a node call a service. Raises Undeliverable."""
        self.check(node)
        return await self._deliveries.call(node, call, deadline)

    def connected(self, node: str) -> None:
        """The node is here: send what was kept for it."""
        if node not in self._drains and self._spool.holds(node):
            self._drains[node] = self._owner.spawn(self._drain(node), node)

    async def close(self) -> None:
        """Stop sending; what is kept stays."""
        await self._owner.close()

    async def _drain(self, node: str) -> None:
        try:
            while self._hub.connected(node) and (kept := await self._spool.oldest(node)) is not None:
                rule = self._table.get(kept.rule)
                if rule is not None:
                    deadline = asyncio.get_running_loop().time() + DRAIN_SECONDS
                    await self._deliveries.publish(node, kept.topic, kept.body, deadline)
                    self._counters.success(rule)
                await self._spool.forget(kept)
        except Undeliverable as error:
            if self._hub.connected(node):
                log.warning("node %s: what was kept for it stays for its next connection: %s", node, error)
        finally:
            del self._drains[node]
        if self._spool.trouble:
            log.error("router: the spool cannot be read: %s", self._spool.trouble)
