"""EndpointSlices (`pkg/apis/discovery/validation`)."""

from __future__ import annotations

from typing import Any

from edgelab.edgesite.apiserver import names, objectmeta
from edgelab.edgesite.apiserver.invalid import Cause, bad, duplicate, required, too_many, unsupported
from edgelab.edgesite.apiserver.strategies import checks
from edgelab.edgesite.apiserver.strategy import Strategy

Obj = dict[str, Any]

ADDRESS_TYPES = ["FQDN", "IPv4", "IPv6"]
MAX_ENDPOINTS, MAX_ADDRESSES, MAX_PORTS, MAX_TOPOLOGY, MAX_HINTS = 1000, 100, 20000, 16, 8


def slice_default(obj: Obj) -> None:
    """Ports of an EndpointSlice: TCP, without a name. Empty lists are written as null."""
    for name in ("endpoints", "ports"):
        obj[name] = obj.get(name) or None
    for port in obj.get("ports") or ():
        port.setdefault("name", "")
        port.setdefault("protocol", "TCP")
    for endpoint in obj.get("endpoints") or ():
        endpoint.setdefault("conditions", {})
        endpoint.pop("deprecatedTopology", None)


def endpoint_slice(obj: Obj) -> list[Cause]:
    """ValidateEndpointSlice."""
    return _slice(obj) + _endpoints(obj)


def _slice(obj: Obj) -> list[Cause]:
    kind, ports = obj.get("addressType") or "", obj.get("ports") or []
    causes = checks.choice(kind, "addressType", ADDRESS_TYPES)
    if len(ports) > MAX_PORTS:
        return [*causes, too_many("ports", len(ports), MAX_PORTS)]
    seen: set[str] = set()
    for position, port in enumerate(ports):
        field, name = f"ports[{position}]", port.get("name") or ""
        causes += checks.dns_label(name, f"{field}.name") if name else []
        if name in seen:
            causes.append(duplicate(f"{field}.name", name))
        seen.add(name)
        protocol, where = port.get("protocol"), f"{field}.protocol"
        if protocol not in checks.PROTOCOLS:
            causes.append(unsupported(where, protocol, checks.PROTOCOLS))
        if port.get("appProtocol") is not None:
            causes += checks.label_name(port["appProtocol"], f"{field}.appProtocol")
    return causes


def _endpoints(obj: Obj) -> list[Cause]:
    found, kind = obj.get("endpoints") or [], obj.get("addressType") or ""
    if len(found) > MAX_ENDPOINTS:
        return [too_many("endpoints", len(found), MAX_ENDPOINTS)]
    causes: list[Cause] = []
    for position, item in enumerate(found):
        field, addresses = f"endpoints[{position}]", item.get("addresses") or []
        where = f"{field}.addresses"
        if not addresses:
            causes.append(required(where, "must contain at least 1 address"))
        elif len(addresses) > MAX_ADDRESSES:
            causes.append(too_many(where, len(addresses), MAX_ADDRESSES))
        for number, address in enumerate(addresses):
            causes += _address(address, kind, where, f"{where}[{number}]")
        causes += _rest(item, field)
    return causes


def _address(address: str, kind: str, where: str, field: str) -> list[Cause]:
    if kind == "FQDN":
        return _domain(address, field)
    if kind not in ("IPv4", "IPv6"):
        return []
    problems = (checks.ip if kind == "IPv4" else checks.canonical_ip)(address, field)
    parsed = checks.parse_ip(address)
    if problems or parsed is None:
        return problems
    causes = [] if f"IPv{parsed.version}" == kind else [bad(where, address, f"must be an {kind} address")]
    return causes + checks.endpoint_ip(address, field)


def _domain(name: str, path: str) -> list[Cause]:
    if not name:
        return [required(path)]
    name = name.removesuffix(".")
    problems = names.subdomain(name)
    if problems:
        return [bad(path, name, ",".join(problems))]
    if "." not in name:
        text = "should be a domain with at least two segments separated by dots"
        return [bad(path, name, text)]
    return [bad(path, part, ",".join(names.label(part))) for part in name.split(".") if names.label(part)]


def _rest(item: Obj, path: str) -> list[Cause]:
    causes: list[Cause] = []
    if item.get("nodeName") is not None:
        causes += checks.dns_subdomain(item["nodeName"], f"{path}.nodeName")
    topology = item.get("deprecatedTopology") or {}
    if len(topology) > MAX_TOPOLOGY:
        causes.append(too_many(f"{path}.deprecatedTopology", len(topology), MAX_TOPOLOGY))
    causes += checks.labels(topology, f"{path}.deprecatedTopology")
    if item.get("hostname") is not None:
        causes += checks.dns_label(item["hostname"], f"{path}.hostname")
    for name, check in (("forZones", names.label_value), ("forNodes", names.subdomain)):
        hints, field = (item.get("hints") or {}).get(name) or [], f"{path}.hints.{name}"
        if len(hints) > MAX_HINTS:
            return [*causes, too_many(field, len(hints), MAX_HINTS)]
        seen: set[str] = set()
        for position, hint in enumerate(hints):
            value, where = hint.get("name") or "", f"{field}[{position}].name"
            causes += [duplicate(where, value)] if value in seen else []
            seen.add(value)
            causes += checks.texts(check, value, where)
    return causes


def slice_changed(new: Obj, old: Obj) -> list[Cause]:
    """Bad endpoints that were there before may stay; the kind of addresses does."""
    causes = objectmeta.of_kind(new, "discovery.k8s.io", "EndpointSlice") + _slice(new)
    if not checks.semantic(new.get("endpoints"), old.get("endpoints")):
        causes += _endpoints(new)
    return causes + checks.unchanged(new.get("addressType"), old.get("addressType"), "addressType")


ENDPOINT_SLICE = Strategy(default=slice_default, validate=endpoint_slice, validate_update=slice_changed)
