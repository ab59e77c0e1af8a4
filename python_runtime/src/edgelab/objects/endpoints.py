"""Addresses that endpoints of Services may have."""

from __future__ import annotations

import ipaddress


def may_be_dialled(ip: str) -> bool:
    """Whether a proxy may connect there for others: never to what only the host itself is to reach.

    kube-apiserver takes no such endpoints either (pkg/apis/core/validation, `ValidateEndpointIP`); but a node
    is shown its own MetaServer, at 127.0.0.1, as that of `default/kubernetes`, and that trusts the host.
    """
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return False
    return not (
        address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast
    )
