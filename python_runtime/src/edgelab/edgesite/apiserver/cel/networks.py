"""Addresses, networks and URLs (`library/{ip,cidr,urls}.go`)."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

from edgelab.edgesite.apiserver.cel.nodes import CelError
from edgelab.edgesite.apiserver.cel.values import NO_OVERLOAD
from edgelab.edgesite.apiserver.custom import formats
from edgelab.edgesite.apiserver.custom.golang import quote

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Interface | ipaddress.IPv6Interface


@dataclass(frozen=True, slots=True)
class IP:
    """An address."""

    address: Address
    type_name: ClassVar[str] = "net.IP"

    def __str__(self) -> str:
        return str(self.address)


@dataclass(frozen=True, slots=True)
class CIDR:
    """An address with the size of its network."""

    network: Network
    type_name: ClassVar[str] = "net.CIDR"

    def __str__(self) -> str:
        return f"{self.network.ip}/{self.network.network.prefixlen}"


@dataclass(frozen=True, slots=True)
class URL:
    """An absolute URI or path."""

    text: str
    type_name: ClassVar[str] = "kubernetes.URL"

    def __str__(self) -> str:
        return self.text


def _parse_ip(text: str) -> Address:
    if not isinstance(text, str):
        raise CelError(NO_OVERLOAD)
    try:
        found = ipaddress.ip_address(text)
    except ValueError as error:
        reason = f"ParseAddr({quote(text)}): unable to parse IP"
        raise CelError(
            f"IP Address {quote(text)} parse error during conversion from string: {reason}"
        ) from error
    if "%" in text:
        raise CelError(f"IP address {quote(text)} with zone value is not allowed")
    if found.version == 6 and found.ipv4_mapped is not None:
        raise CelError(f"IPv4-mapped IPv6 address {quote(text)} is not allowed")
    return found


def _parse_cidr(text: str) -> Network:
    try:
        if re.fullmatch(r"[^/]+/(0|[1-9]\d*)", text) is None:
            raise ValueError(text)
        found = ipaddress.ip_interface(text)
    except ValueError as error:
        reason = f"netip.ParsePrefix({quote(text)}): no '/'"
        if "/" in text:
            inner = quote(text.partition("/")[0])
            reason = f"netip.ParsePrefix({quote(text)}): ParseAddr({inner}): unable to parse IP"
        head = "network address parse error during conversion from string"
        raise CelError(f"{head}: {head}: {reason}") from error
    if isinstance(found, ipaddress.IPv6Interface) and found.ip.ipv4_mapped is not None:
        raise CelError(f"IPv4-mapped IPv6 address {quote(text)} is not allowed")
    return found


def _succeeds(parse: Callable[[str], Any]) -> Callable[[str], bool]:
    def run(text: str) -> bool:
        try:
            parse(text)
        except CelError:
            return False
        return True

    return run


def _url(text: str) -> URL:
    if not formats.fits("uri", text):
        reason = f"parse {quote(text)}: invalid URI for request"
        raise CelError(f"URL parse error during conversion from string: {reason}")
    return URL(text)


def _query(url: URL) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(urlsplit(url.text).query, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return found


def _host(url: URL) -> str:
    return urlsplit(url.text).netloc.rpartition("@")[2]


def _hostname(url: URL) -> str:
    host = _host(url)
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return unquote(host.partition(":")[0])


def _port(url: URL) -> str:
    match = re.search(r":(\d*)$", _host(url))
    return match[1] if match else ""


def _scheme(url: URL) -> str:
    return "" if url.text.startswith("/") else urlsplit(url.text).scheme


def _contains(outer: CIDR, inner: Any) -> bool:
    found = inner.address if isinstance(inner, IP) else _parse_ip(inner)
    return found in outer.network.network


def _contains_network(outer: CIDR, inner: Any) -> bool:
    found = inner.network if isinstance(inner, CIDR) else _parse_cidr(inner)
    mine, theirs = outer.network.network, found.network
    return mine.version == theirs.version and theirs.subnet_of(mine)  # type: ignore[arg-type]


def _masked(found: CIDR) -> CIDR:
    network = found.network.network
    return CIDR(ipaddress.ip_interface(f"{network.network_address}/{network.prefixlen}"))


def _is_canonical(text: str) -> bool:
    return str(_parse_ip(text)) == text


def _is_global(found: IP) -> bool:
    address = found.address
    limited = address.version == 4 and address == ipaddress.IPv4Address("255.255.255.255")
    excluded = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    return not limited and not excluded


def _is_link_local_multicast(found: IP) -> bool:
    address = found.address
    if isinstance(address, ipaddress.IPv4Address):
        return address in ipaddress.IPv4Network("224.0.0.0/24")
    return address.packed[0] == 0xFF and address.packed[1] & 0x0F == 0x02


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "cidr": lambda text: CIDR(_parse_cidr(text)),
    "containsCIDR": _contains_network,
    "containsIP": _contains,
    "family": lambda found: found.address.version,
    "getEscapedPath": lambda url: urlsplit(url.text).path,
    "getHost": _host,
    "getHostname": _hostname,
    "getPort": _port,
    "getQuery": _query,
    "getScheme": _scheme,
    "ip": lambda value: IP(value.network.ip) if isinstance(value, CIDR) else IP(_parse_ip(value)),
    "ip.isCanonical": _is_canonical,
    "isCIDR": _succeeds(_parse_cidr),
    "isGlobalUnicast": _is_global,
    "isIP": _succeeds(_parse_ip),
    "isLinkLocalMulticast": _is_link_local_multicast,
    "isLinkLocalUnicast": lambda found: found.address.is_link_local,
    "isLoopback": lambda found: found.address.is_loopback,
    "isURL": lambda text: formats.fits("uri", text),
    "isUnspecified": lambda found: found.address.is_unspecified,
    "masked": _masked,
    "prefixLength": lambda found: found.network.network.prefixlen,
    "url": _url,
}
