"""Which endpoint a client gets: those of this node first, in turn, at random or by the client's address.

Passive health: an endpoint that could not be reached is set aside, longer with each failure, and is asked
again only then, or when there is no other. No I/O; all state is bounded and in memory.
"""

from __future__ import annotations

import random
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import TypeAlias

from edgelab.daemon.clock import SYSTEM, Clock
from edgelab.edgemesh.table import RANDOM, SOURCE_IP, Endpoint, ServicePort

FIRST_ASIDE, LONGEST_ASIDE = 1.0, 30.0
"""Seconds that an endpoint is set aside for, after its first failure and at most."""
MOST_CLIENTS = 16_384
"""Clients whose endpoint is remembered; the one that was seen longest ago is forgotten first."""

PortKey: TypeAlias = tuple[str, str, str, int]


def key_of(port: ServicePort) -> PortKey:
    """What stays the same while a Service's endpoints change."""
    return port.namespace, port.service, port.protocol, port.port


class Balancer:
    """Chooses; told by its callers what became of the choice. `node` is this node."""

    def __init__(self, node: str, clock: Clock = SYSTEM) -> None:
        self._node = node
        self._clock = clock
        self._turns: dict[PortKey, int] = {}
        self._clients: OrderedDict[tuple[PortKey, str], tuple[Endpoint, float]] = OrderedDict()
        self._aside: dict[Endpoint, tuple[float, float]] = {}
        """Until when, and for how long."""

    def order(self, port: ServicePort, client: str) -> list[Endpoint]:
        """All endpoints, the one to take first; empty when there is none."""
        near = [endpoint for endpoint in port.endpoints if self.is_local(endpoint)]
        far = [endpoint for endpoint in port.endpoints if not self.is_local(endpoint)]
        turn = self._turns.get(key_of(port), 0)
        if len(port.endpoints) > 1:
            self._turns[key_of(port)] = turn + 1
        found = [*_arranged(port, near, turn, client), *_arranged(port, far, turn, client)]
        usual = self._remembered(port, client)
        if usual in found:
            found.remove(usual)
            found.insert(0, usual)
        if self._aside:
            now = self._clock.monotonic()
            found.sort(key=lambda endpoint: self._aside.get(endpoint, (0.0,))[0] > now)
        return found

    def is_local(self, endpoint: Endpoint) -> bool:
        """Whether it is reached without a tunnel; so is one of which nobody says where it is."""
        return endpoint.node in ("", self._node)

    def failed(self, endpoint: Endpoint) -> None:
        """It could not be reached."""
        _, last = self._aside.get(endpoint, (0.0, FIRST_ASIDE / 2))
        seconds = min(last * 2, LONGEST_ASIDE)
        self._aside[endpoint] = (self._clock.monotonic() + seconds, seconds)

    def worked(self, port: ServicePort, client: str, endpoint: Endpoint) -> None:
        """It was reached; with session affinity the client stays with it."""
        self._aside.pop(endpoint, None)
        if not port.affinity_seconds:
            return
        key = (key_of(port), client)
        self._clients[key] = (endpoint, self._clock.monotonic() + port.affinity_seconds)
        self._clients.move_to_end(key)
        if len(self._clients) > MOST_CLIENTS:
            self._clients.popitem(last=False)

    def keep(self, ports: Sequence[ServicePort]) -> None:
        """Forget everything about ports and endpoints that are gone."""
        keys = {key_of(port) for port in ports}
        endpoints = {endpoint for port in ports for endpoint in port.endpoints}
        self._turns = {key: turn for key, turn in self._turns.items() if key in keys}
        self._aside = {known: aside for known, aside in self._aside.items() if known in endpoints}
        for client in [client for client in self._clients if client[0] not in keys]:
            del self._clients[client]

    def _remembered(self, port: ServicePort, client: str) -> Endpoint | None:
        if not port.affinity_seconds:
            return None
        endpoint, until = self._clients.get((key_of(port), client), (None, 0.0))
        return endpoint if until > self._clock.monotonic() else None


def _arranged(port: ServicePort, endpoints: list[Endpoint], turn: int, client: str) -> list[Endpoint]:
    if len(endpoints) < 2:
        return endpoints
    if port.policy == RANDOM:
        return random.sample(endpoints, len(endpoints))
    if port.policy == SOURCE_IP:
        # Rendezvous hashing: a client moves only when its own endpoint goes.
        return sorted(endpoints, key=lambda known: zlib.crc32(f"{client} {known.ip} {known.port}".encode()))
    start = turn % len(endpoints)
    return endpoints[start:] + endpoints[:start]
