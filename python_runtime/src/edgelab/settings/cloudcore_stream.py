"""`edgelab.stream` of cloudcore.yaml: how the API server finds CloudStream. Read with modules.cloudStream."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from edgelab.settings import checks
from edgelab.settings.document import Problem

LISTENERS, TUNNELPORT = "listeners", "tunnelport"


class Stream(msgspec.Struct):
    """Settings that KubeEdge does not have."""

    mode: str = LISTENERS
    """`listeners`: one port a node, published in the Node with an address of type InternalDNS. `tunnelport`:
    KubeEdge's way, one streamPort and a tunnelPort that somebody has to redirect to it."""
    address: str = ""
    """Where API servers find the listeners; empty: the first of advertiseAddress that is this host's,
    or in a pod its own."""
    firstPort: int = 10351
    lastPort: int = 12350
    """The ports of the listeners, one for each node that has had a tunnel here."""


def problems(stream: Stream) -> Iterator[Problem]:
    """Every value that is out of range or malformed."""
    where = "edgelab.stream"
    yield from checks.one_of(where, stream, {"mode": (LISTENERS, TUNNELPORT)})
    yield from checks.every(where, stream, ("firstPort", "lastPort"), checks.within(1, 65535), "a port")
    if stream.firstPort > stream.lastPort:
        yield Problem(f"{where}.lastPort", f"is less than firstPort ({stream.firstPort})")
    if stream.address:
        yield from checks.every(where, stream, ("address",), checks.is_ip, "an IP address")
