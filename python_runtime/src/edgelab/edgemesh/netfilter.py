"""One nftables table that brings connections to ClusterIPs to the proxy, and refuses the rest of them.

The table is the mesh's own and replaced as a whole in one transaction (nft(8), `-f`), so there is never half
of it; to delete it takes everything back. Connections that exist stay where they are (conntrack).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from edgelab.edgemesh.commands import CommandError, run
from edgelab.edgemesh.proxy.balance import PortKey, key_of
from edgelab.edgemesh.table import ServicePort

TABLE = "edgemesh"
BEFORE_OTHERS = -110
"""Priority of the hooks: before those of kube-proxy and of container networks (-100)."""


def ruleset(address: str, ports: Sequence[ServicePort], tcp: int, udp: Mapping[PortKey, int]) -> str:
    """Commands for nft. `tcp` and `udp` are the proxy's ports at `address`."""
    mapped: dict[str, list[str]] = {"tcp": [], "udp": []}
    services: set[str] = set()
    for port in ports:
        services.update(port.addresses)
        if not port.endpoints:
            continue  # is refused below, as kube-proxy does
        target = tcp if port.protocol == "TCP" else udp[key_of(port)]
        mapped[port.protocol.lower()] += [
            f"{ip} . {port.port} : {address} . {target}" for ip in port.addresses
        ]
    lines = [f"table ip {TABLE}", f"delete table ip {TABLE}", f"table ip {TABLE} {{"]
    for protocol, elements in mapped.items():
        kind = "ipv4_addr . inet_service : ipv4_addr . inet_service"
        lines.append(f"map {protocol}_ports {{ type {kind};{_elements(elements)} }}")
    lines.append(f"set services {{ type ipv4_addr;{_elements(sorted(services))} }}")
    lines.append("chain steer {")
    lines += [f"dnat ip to ip daddr . {name} dport map @{name}_ports" for name in mapped]
    lines += ["}", "chain refuse { ip daddr @services reject; }"]
    for hook in ("output", "prerouting"):
        lines.append(f"chain nat_{hook} {{ type nat hook {hook} priority {BEFORE_OTHERS}; jump steer; }}")
    for hook in ("output", "forward"):
        lines.append(f"chain filter_{hook} {{ type filter hook {hook} priority 0; jump refuse; }}")
    return "\n".join([*lines, "}", ""])


def _elements(elements: Sequence[str]) -> str:
    return f" elements = {{ {', '.join(elements)} }};" if elements else ""


async def apply(text: str) -> None:
    """Put a ruleset into the kernel. Raises CommandError."""
    await run("nft", "-f", "-", text=text)


async def forget_datagrams(ip: str, port: int) -> None:
    """End what conntrack remembers of datagrams to a ClusterIP: rules are asked for the first one only.

    Where the program is missing, a client that goes on sending from one port is not helped until it pauses.
    """
    with suppress(CommandError):  # it fails, too, when there is nothing to forget
        await run("conntrack", "-D", "-p", "udp", "--orig-dst", ip, "--dport", str(port))


async def remove() -> None:
    """Take the table away, if it is there."""
    with suppress(CommandError):
        await run("nft", "delete", "table", "ip", TABLE)
