"""What the table says, in force: routes, netfilter and the proxies follow its changes.

Receives: calls after changes of the table, of which several become one. What cannot be put into force is
tried again, with growing delays; until then what was in force before stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from edgelab.daemon import backoff
from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.edgemesh import netfilter
from edgelab.edgemesh.commands import CommandError
from edgelab.edgemesh.interface import Interface
from edgelab.edgemesh.proxy.balance import Balancer
from edgelab.edgemesh.proxy.tcp import TcpProxy
from edgelab.edgemesh.proxy.udp import UdpProxy
from edgelab.edgemesh.table import ServicePort, Table

log = logging.getLogger("edgelab.edgemesh")

GATHER_SECONDS = 0.05
"""Changes that come within this time are put into force together."""
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0


class Steering:
    """A module."""

    name = "steering"

    def __init__(
        self,
        table: Table,
        interface: Interface,
        balancer: Balancer,
        proxies: tuple[TcpProxy, UdpProxy],
        *,
        in_force: Callable[[int], None],
        clock: Clock = SYSTEM,
    ) -> None:
        """`in_force` is told the number of Services' ports when another one is in force."""
        self._table = table
        self._interface = interface
        self._balancer = balancer
        self._tcp, self._udp = proxies
        self._in_force = in_force
        self._clock = clock
        self._changed = asyncio.Event()
        self._last = ""
        self._told = -1
        self._steered: set[tuple[str, int]] = set()
        table.listen(self._changed.set)

    async def run(self) -> None:
        """Follow the table until cancelled."""
        port = self._tcp.start(self._interface.address)
        delays = backoff.delays(FIRST_DELAY, LONGEST_DELAY)
        while True:
            await self._changed.wait()
            await self._clock.sleep(GATHER_SECONDS)
            self._changed.clear()
            try:
                await self._apply(port, list(self._table.ports()))
                delays = backoff.delays(FIRST_DELAY, LONGEST_DELAY)
            except (CommandError, OSError) as error:
                log.error("Services are not as they should be: %s; trying again", error)
                self._changed.set()
                await self._clock.sleep(next(delays))

    async def _forget(self, ports: list[ServicePort]) -> None:
        """Let datagrams that conntrack still sends elsewhere find their new way."""
        steered = {
            (ip, port.port)
            for port in ports
            if port.protocol == "UDP" and port.endpoints
            for ip in port.addresses
        }
        for ip, number in steered - self._steered:
            await netfilter.forget_datagrams(ip, number)
        self._steered = steered

    async def _apply(self, tcp: int, ports: list[ServicePort]) -> None:
        self._tcp.use(ports)
        numbers = self._udp.use(ports)
        self._balancer.keep(ports)
        text = netfilter.ruleset(self._interface.address, ports, tcp, numbers)
        if text != self._last:
            # First the rules: what found a way without them would be remembered by conntrack, and kept there.
            await netfilter.apply(text)
            await self._interface.route(ip for port in ports for ip in port.addresses)
            self._last = text
            await self._forget(ports)
        if len(ports) != self._told:
            self._told = len(ports)
            self._in_force(len(ports))
