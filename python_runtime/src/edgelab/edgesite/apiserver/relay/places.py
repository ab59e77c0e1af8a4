"""Where a request goes: a URL in the parts that are needed, spelt as Go spells it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import quote, quote_plus

KEPT_IN_PATHS = "$&+,/:;=@"


class Place(NamedTuple):
    """`query` is encoded, `path` is not. A `trusted` place is a kubelet: it gets to see who we are, and
    its certificate is checked if that is configured and it is not `unchecked`; others may have any.
    """

    scheme: str
    host: str
    port: int
    path: str = ""
    query: str = ""
    trusted: bool = False
    unchecked: bool = False

    @property
    def authority(self) -> str:
        """Host and port as they stand in a URL."""
        return f"{bracketed(self.host)}:{self.port}"

    @property
    def target(self) -> str:
        """The path and the query of a request line."""
        path = quote(self.path or "/", safe=KEPT_IN_PATHS)
        return f"{path}?{self.query}" if self.query else path

    @property
    def url(self) -> str:
        """For messages."""
        return f"{self.scheme}://{self.authority}{self.target}"


def bracketed(host: str) -> str:
    """A host in a URL."""
    return f"[{host}]" if ":" in host else host


def encoded(parameters: Iterable[tuple[str, str]]) -> str:
    """`url.Values.Encode`: sorted by name, values of a name in their order."""
    pairs = sorted(parameters, key=lambda pair: pair[0])
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in pairs)


def is_proxyable(address: str) -> bool:
    """Go's `IsGlobalUnicast`: no way to this host's own loopback, or to its neighbours by link."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    broadcast = address == "255.255.255.255"
    return not (
        found.is_unspecified or found.is_loopback or found.is_multicast or found.is_link_local or broadcast
    )
