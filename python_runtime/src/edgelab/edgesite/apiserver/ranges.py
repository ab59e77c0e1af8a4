"""Ranges that Services get their addresses from, and which addresses are given out.

A ServiceCIDR is a range, an IPAddress one that is given out (`pkg/registry/core/service/ipallocator`).
"""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator
from itertools import chain
from typing import Any

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.store import Key, Store
from edgelab.objects import metadata as meta

Obj = dict[str, Any]
Network = ipaddress.IPv4Network

CIDRS, ADDRESSES = "networking.k8s.io/servicecidrs", "networking.k8s.io/ipaddresses"
STEP, LEAST, MOST = 16, 16, 256
ALLOCATED = "provided IP is already allocated"
FULL = "range is full"
ELSEWHERE = "the provided network does not match the current range"


class Ranges:
    """What is free in the newest state of the store; `network` is the range while none is stored."""

    def __init__(self, store: Store, network: Network) -> None:
        self._store = store
        self._network = network

    def _ready(self) -> Iterator[Network]:
        """The ranges that addresses may come from, the first one first."""
        found = [codec.decode(entry.data) for entry in self._store.heads(CIDRS)]
        if not found:
            yield self._network
        for obj in sorted(found, key=lambda obj: str(obj["metadata"]["creationTimestamp"])):
            condition = meta.condition(obj, "Ready")
            if meta.is_deleting(obj) or (condition is not None and condition["status"] != "True"):
                continue
            networks = (ipaddress.ip_network(item) for item in obj["spec"]["cidrs"])
            yield from (network for network in networks if isinstance(network, Network))

    def is_taken(self, address: str) -> bool:
        """Whether an address is given out."""
        return self._store.head(Key(ADDRESSES, "", address)) is not None

    def problem(self, address: str) -> str:
        """Why somebody who asks for this address cannot have it; empty if he can."""
        wanted = ipaddress.ip_address(address)
        if not any(_contains(network, wanted) for network in self._ready()):
            return ELSEWHERE
        return ALLOCATED if self.is_taken(address) else ""

    def outside(self, address: str) -> str:
        """The same for a dry run, which only looks whether the address is in the first range."""
        network = next(self._ready(), self._network)
        if _contains(network, ipaddress.ip_address(address)):
            return ""
        text = f"the provided IP ({address}) is not in the valid range."
        return f"{text} The range of valid IPs is {network}"

    def first(self) -> str:
        """What a dry run is shown: none is looked for."""
        return str(next(self._ready(), self._network).network_address)

    def free(self) -> str:
        """An address for somebody who does not care; empty when there is none.

        The beginning of a range is left to those who ask for an address, as long as the rest is enough.
        """
        for network in self._ready():
            first, last = _usable(network)
            middle = first + _reserved(network)
            for low, high in ((middle, last), (first, middle - 1)):
                found = self._free_between(low, high)
                if found:
                    return found
        return ""

    def _free_between(self, low: int, high: int) -> str:
        if high < low:
            return ""
        start = random.randint(low, high)  # noqa: S311 - so that an address is not used again at once
        for number in chain(range(start, high + 1), range(low, start)):
            address = str(ipaddress.IPv4Address(number))
            if not self.is_taken(address):
                return address
        return ""


def _contains(network: Network, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    """Whether a Service can have this address of a network; not the first one and not the last one."""
    first, last = _usable(network)
    return address.version == network.version and first <= int(address) <= last


def _usable(network: Network) -> tuple[int, int]:
    """The first and the last address that a Service can have."""
    return int(network.network_address) + 1, int(network.broadcast_address) - 1


def _reserved(network: Network) -> int:
    """How many addresses dynamic allocation leaves alone at first."""
    size = network.num_addresses
    return 0 if size <= LEAST else max(LEAST, min(size // STEP, MOST))
