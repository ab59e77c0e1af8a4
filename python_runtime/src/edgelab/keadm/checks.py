"""What people type: names, addresses, durations; each refused with what is expected instead."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re

from edgelab.keadm.report import Failure

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
DURATION = re.compile(r"(\d+)([smhd])")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def node_name(text: str) -> str:
    """A DNS label (RFC 1123). Raises Failure."""
    if not LABEL.fullmatch(text):
        raise Failure(
            f"node name {text!r} is no DNS label: lower-case letters, digits and '-' inside, at most 63",
            field="node",
        )
    return text


def address(text: str, field: str) -> str:
    """An IP address in its usual spelling. Raises Failure."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise Failure(f"{field} {text!r} is no IP address", field=field) from None


def duration(text: str) -> dt.timedelta:
    """`90s`, `30m`, `24h`, `7d`. Raises Failure; also for nothing and for more than a year."""
    match = DURATION.fullmatch(text.strip())
    seconds = int(match[1]) * UNITS[match[2]] if match else 0
    if not 0 < seconds <= 366 * 86400:
        raise Failure(f"--ttl {text!r}: expected a number and s, m, h or d, for example 24h", field="ttl")
    return dt.timedelta(seconds=seconds)


def endpoint(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
