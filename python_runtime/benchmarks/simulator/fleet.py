"""Many simulated nodes: they connect, come back when the cloud was gone, and speak when they are due."""

from __future__ import annotations

import asyncio
import heapq
import random
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from benchmarks.simulator.credentials import Trust, client_context
from benchmarks.simulator.link import Link
from benchmarks.simulator.node import Behaviour, SimulatedNode
from websockets.exceptions import InvalidHandshake

from edgelab.daemon.backoff import delays
from edgelab.daemon.tasks import Supervisor
from edgelab.identity.ca import CertificateAuthority

TICK = 0.1
"""Seconds between two looks at who is due."""
LONGEST_WAIT = 10.0
"""Between two attempts of a node to connect."""
PATIENCE = 30.0
"""Seconds for a handshake, as EdgeCore has it."""


class Fleet:
    """Nodes `prefix0`, `prefix1` ... of one cloud; `counts` says what they have done."""

    def __init__(
        self, address: str, ca: CertificateAuthority, behaviour: Behaviour, *, prefix: str = "sim-"
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.nodes: list[SimulatedNode] = []
        self.links: set[Link] = set()
        self._address = address
        self._ca = ca
        self._trust = Trust(ca)
        self._behaviour = behaviour
        self._prefix = prefix
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._due: list[tuple[float, int, Link]] = []
        self._tasks = Supervisor("fleet")
        self._is_closing = False

    @property
    def registers(self) -> bool:
        """Whether the nodes of this fleet make their Nodes."""
        return self._behaviour.registers

    @property
    def registered(self) -> int:
        """Nodes whose Node object the cloud has confirmed on their present connection."""
        return sum(link.node.registered for link in self.links)

    def add(self, count: int) -> list[SimulatedNode]:
        """Make so many nodes more, with their certificates; they do not connect yet."""
        first = len(self.nodes)
        made = [
            SimulatedNode(f"{self._prefix}{number}", self._behaviour, self.counts)
            for number in range(first, first + count)
        ]
        for node in made:
            self._contexts[node.name] = client_context(self._ca, node.name)
        self.nodes += made
        return made

    async def connect(self, nodes: Iterable[SimulatedNode], *, at_once: int = 64) -> None:
        """Connect nodes, at most so many at once; who fails tries again as a node does, for ever."""
        waiting = iter(nodes)

        async def work() -> None:
            for node in waiting:
                await self._persist(node)

        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work(), name="fleet/connect")

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[Fleet]:
        """The nodes speak while the body runs; at its end all connections do."""
        self._tasks.spawn(self._turn(), "turn")
        try:
            yield self
        finally:
            self._is_closing = True
            await self._tasks.close()
            for link in list(self.links):
                link.close()
            while self.links:
                await asyncio.sleep(0.01)

    async def _open(self, node: SimulatedNode) -> None:
        host, _, port = self._address.rpartition(":")
        link = Link(node, self._address, self._trust, ended=self._ended, sooner=self._schedule)
        ready = link.ready
        assert ready is not None
        self.links.add(link)
        try:
            async with asyncio.timeout(PATIENCE):
                await asyncio.get_running_loop().create_connection(
                    lambda: link, host, int(port), ssl=self._contexts[node.name], server_hostname=host
                )
                await ready
        except BaseException:
            self.links.discard(link)
            if ready.done():
                ready.exception()  # seen: the attempt may have failed for two reasons
            link.close()
            raise
        self.counts["connections"] += 1
        self._schedule(link)

    def _ended(self, link: Link) -> None:
        if link not in self.links:
            return
        self.links.discard(link)
        if link.due and not self._is_closing:
            self.counts["lost"] += 1
            self._tasks.spawn(self._come_back(link.node), link.node.name)

    async def _come_back(self, node: SimulatedNode) -> None:
        await asyncio.sleep(random.uniform(0.1, 1.0))
        await self._persist(node)

    async def _persist(self, node: SimulatedNode) -> None:
        for delay in delays(1.0, LONGEST_WAIT):
            try:
                await self._open(node)
            except (OSError, TimeoutError, InvalidHandshake):
                self.counts["failures"] += 1
            else:
                return
            await asyncio.sleep(delay)

    def _schedule(self, link: Link) -> None:
        # not before the next look: a node that is always due must not keep all others waiting
        link.due = max(link.next_due(), asyncio.get_running_loop().time() + TICK / 2)
        heapq.heappush(self._due, (link.due, id(link), link))

    async def _turn(self) -> None:
        """Look again and again who is due."""
        clock = asyncio.get_running_loop().time
        while True:
            now = clock()
            while self._due and self._due[0][0] <= now:
                due, _, link = heapq.heappop(self._due)
                if link in self.links and due == link.due:  # otherwise there is an earlier entry
                    link.flush()
                    self._schedule(link)
            await asyncio.sleep(TICK)
