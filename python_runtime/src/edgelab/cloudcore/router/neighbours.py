"""The other CloudCores, as the router sees them: who has a node, and where its router is.

A CloudCore tells its router's address in annotations of its own Lease, `cloudcore-replica-<id>`
(docs/reference/cloudcore-replicas.md); one without them takes no errands.
"""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from edgelab.cloudcore.cloudhub.ownership import Ownership
from edgelab.cloudcore.cloudhub.replicas import Replicas
from edgelab.cloudcore.environment import is_own, own_address
from edgelab.settings.checks import is_endpoint
from edgelab.settings.cloudcore import CloudCore

URL, FINGERPRINT = "edgelab.io/router", "edgelab.io/router-fingerprint"


class Way(NamedTuple):
    """Where a router is: `http://HOST:PORT` or `https://`, and then SHA-256 of its certificate in hex."""

    url: str
    fingerprint: str


class Neighbours:
    """Reads Leases; writes this one's annotations with the next renewal."""

    def __init__(self, replicas: Replicas, ownership: Ownership) -> None:
        self._replicas = replicas
        self._ownership = ownership

    @property
    def me(self) -> str:
        """This one's id."""
        return self._replicas.me

    def other(self, node: str) -> str:
        """Another CloudCore, which runs, that has the node; empty for none."""
        return self._ownership.holder(node) if self._ownership.elsewhere(node) else ""

    def mine(self, node: str) -> bool:
        """Whether the node's Lease names this one."""
        return self._ownership.holder(node) == self.me

    def way(self, replica: str) -> Way | None:
        """Where its router is; None when it has none for others."""
        url = self._replicas.note(replica, URL)
        return Way(url, self._replicas.note(replica, FINGERPRINT)) if url else None

    def announce(self, url: str, fingerprint: str) -> None:
        """Tell the others where this one's router is; empty for nowhere."""
        self._replicas.notes |= {URL: url, FINGERPRINT: fingerprint if url else ""}


def own_url(settings: CloudCore, port: int) -> str:
    """Where others reach this router; empty when its address is of no use to another host."""
    scheme = "https" if settings.edgelab.router.tlsCertFile else "http"
    told = settings.edgelab.router.advertiseAddress
    if is_endpoint(told):
        return f"{scheme}://{told}"
    host = told or _address(settings)
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}" if host else ""


def _address(settings: CloudCore) -> str:
    """The one that it listens at; of all, one that edges dial is in the cluster's network for certain.

    Of several of those the last: before this host's own there may be one that hosts share.
    """
    listens = settings.modules.router.address
    if not ipaddress.ip_address(listens).is_unspecified:
        return "" if _is_loopback(listens) else listens
    named, own = settings.modules.cloudHub.advertiseAddress, own_address()
    mine = [address for address in named if not _is_loopback(address) and is_own(address)]
    return own if own in mine or not mine else mine[-1]


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback
