"""The lab's bridge, its subnet and the way out to the package mirrors.

Forwarding is switched on per interface, not for the whole machine, and switched off again by the last
lab that needed it. The bridge's alias carries who owns it and what has to be undone.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nspawn_lab.definition import Host, Lab, gateway
from nspawn_lab.shell import LabError, run, succeeds

IPV4 = Path("/proc/sys/net/ipv4")
SECOND_OCTETS = range(128, 224)
"""Keeps clear of 10.96.0.0/12, 10.88 and 10.244, which clusters use for services and pods."""


def links() -> list[dict[str, Any]]:
    """Every network interface of this machine, as `ip -json` tells."""
    found: list[dict[str, Any]] = json.loads(run(["ip", "-json", "-details", "link"]) or "[]")
    return found


def used_networks() -> list[ipaddress.IPv4Network]:
    """Networks that this machine routes to, and its name servers."""
    networks = []
    for route in json.loads(run(["ip", "-json", "-4", "route", "show", "table", "all"]) or "[]"):
        if route["dst"] != "default":
            networks.append(ipaddress.IPv4Network(route["dst"], strict=False))
    for line in Path("/etc/resolv.conf").read_text(encoding="utf-8").splitlines():
        words = line.split()
        if words[:1] == ["nameserver"]:
            with contextlib.suppress(ValueError):  # an IPv6 name server
                networks.append(ipaddress.IPv4Network(words[1]))
    return networks


def candidates(seed: str) -> Iterator[ipaddress.IPv4Network]:
    """Subnets to try for a lab, best first; the same ones for the same seed."""
    for attempt in range(64):
        digest = hashlib.sha256(f"{seed}/{attempt}".encode()).digest()
        second = SECOND_OCTETS[digest[0] % len(SECOND_OCTETS)]
        yield ipaddress.IPv4Network(f"10.{second}.{digest[1]}.0/24")


def choose_subnet(lab: Lab) -> str:
    """A /24 inside 10.0.0.0/8 that collides with nothing this machine knows."""
    taken = used_networks()
    for network in candidates(str(lab.state)):
        if not any(network.overlaps(other) for other in taken):
            return str(network)
    raise LabError(
        "no free /24 was found inside 10.0.0.0/8; remove routes that are no longer needed (`ip route`)"
    )


def uplink() -> tuple[str | None, int]:
    """The interface of the default route and its MTU; (None, 1500) on a machine without one."""
    routes = json.loads(run(["ip", "-json", "-4", "route", "show", "default"]) or "[]")
    if not routes:
        return None, 1500
    name = routes[0]["dev"]
    return name, int((Path("/sys/class/net") / name / "mtu").read_text(encoding="utf-8"))


def is_up(lab: Lab) -> bool:
    """Whether this lab's bridge is there, with everything around it."""
    return (Path("/sys/class/net") / lab.mark).exists() and succeeds(["nft", "list", "table", "ip", lab.mark])


def bring_up(lab: Lab, subnet: str) -> bool:
    """Creates what is missing of the bridge, the address translation and forwarding; whether anything was."""
    for link in links():
        if link["ifname"] == lab.mark and not str(link.get("ifalias", "")).startswith(lab.owner):
            raise LabError(
                f"the bridge {lab.mark} belongs to another checkout; move this one to another path"
            )
    if is_up(lab):
        return False
    bring_down(lab)
    out, mtu = uplink()
    restore = out if out and _flag(f"conf/{out}/forwarding") == "0" else None
    run(["ip", "link", "add", lab.mark, "type", "bridge", "stp_state", "0", "forward_delay", "0"])
    run(["ip", "link", "set", lab.mark, "alias", f"{lab.owner} {restore or ''}".strip()])
    run(["ip", "link", "set", lab.mark, "mtu", str(min(mtu, 1500)), "up"])
    run(["ip", "address", "add", f"{gateway(subnet)}/24", "dev", lab.mark])
    for name in filter(None, (lab.mark, out)):
        (IPV4 / "conf" / name / "forwarding").write_text("1", encoding="utf-8")
    run(
        ["nft", "-f", "-"],
        text=f"""
        table ip {lab.mark} {{
          chain postrouting {{
            type nat hook postrouting priority srcnat
            ip saddr {subnet} oifname != "{lab.mark}" masquerade
          }}
        }}""",
    )
    for rule in _forward_rules(lab):
        if _forwarding_is_filtered():
            run(["iptables", "-I", "FORWARD", *rule])
    return True


def bring_down(lab: Lab) -> bool:
    """Removes every link, table and rule with this lab's mark; whether there was anything."""
    found = [
        link for link in links() if link["ifname"] == lab.mark or link["ifname"].startswith(f"{lab.mark}-")
    ]
    mine = [link for link in found if link["ifname"] == lab.mark]
    if mine and not str(mine[0].get("ifalias", "")).startswith(lab.owner):
        return False
    for link in found:
        succeeds(["ip", "link", "delete", link["ifname"]])
    for link in mine:
        _restore_forwarding(str(link.get("ifalias", "")).split()[1:])
    table = succeeds(["nft", "list", "table", "ip", lab.mark])
    if table:
        run(["nft", "delete", "table", "ip", lab.mark])
    if _forwarding_is_filtered():
        for rule in _forward_rules(lab):
            while succeeds(["iptables", "-D", "FORWARD", *rule]):
                pass
    return bool(found) or table


def plug_in(lab: Lab, host: Host, pid: int) -> None:
    """Puts a cable between the bridge and the network namespace of process `pid`, named eth0 there."""
    succeeds(
        ["ip", "link", "delete", host.link]
    )  # the namespace of a killed host goes a little later than its processes
    mtu = (Path("/sys/class/net") / lab.mark / "mtu").read_text(encoding="utf-8").strip()
    # The same hardware address in every life, or the neighbours would talk to the old one for half a minute.
    address = ":".join(
        re.findall("..", "02" + hashlib.sha256(f"{lab.owner}/{host.name}".encode()).hexdigest()[:10])
    )
    peer = ["peer", "name", "eth0", "mtu", mtu, "address", address, "netns", str(pid)]
    run(["ip", "link", "add", host.link, "mtu", mtu, "type", "veth", *peer])
    run(["ip", "link", "set", host.link, "master", lab.mark, "up"])


def switch_link(host: Host, *, up: bool) -> None:
    """Pulls the plug of a host, or puts it back."""
    run(["ip", "link", "set", host.link, "up" if up else "down"])


def _flag(name: str) -> str:
    return (IPV4 / name).read_text(encoding="utf-8").strip()


def _restore_forwarding(interfaces: list[str]) -> None:
    """Switches forwarding off on `interfaces`, or leaves that to a lab that still needs it."""
    heirs = [link for link in links() if link["ifname"].startswith("edgelab-") and "ifalias" in link]
    for name in interfaces:
        if heirs:
            alias = heirs[0]["ifalias"]
            run(["ip", "link", "set", heirs[0]["ifname"], "alias", f"{alias} {name}"])
        elif _flag("ip_forward") == "0" and (IPV4 / "conf" / name).exists():
            (IPV4 / "conf" / name / "forwarding").write_text("0", encoding="utf-8")


def _forwarding_is_filtered() -> bool:
    """Whether something on this machine (Docker, ufw) drops what is not its own."""
    try:
        return "-P FORWARD DROP" in run(["iptables", "-S", "FORWARD"])
    except LabError:
        return False


def _forward_rules(lab: Lab) -> list[list[str]]:
    comment = ["-m", "comment", "--comment", lab.mark, "-j", "ACCEPT"]
    return [["-i", lab.mark, *comment], ["-o", lab.mark, *comment]]
