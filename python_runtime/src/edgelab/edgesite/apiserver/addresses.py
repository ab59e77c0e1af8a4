"""Addresses and node ports of Services (`pkg/registry/core/service/storage/alloc.go`)."""

from __future__ import annotations

import ipaddress
from typing import Any

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.invalid import Cause, bad, invalid
from edgelab.edgesite.apiserver.ranges import FULL, Ranges
from edgelab.edgesite.apiserver.strategies.core import clusterips
from edgelab.edgesite.apiserver.strategies.core.servicetypes import needs_health_check
from edgelab.edgesite.store import Key, Store
from edgelab.objects.status import ApiError

Obj = dict[str, Any]

NODE_PORTS = range(30000, 32768)
WITH_PORTS = ("NodePort", "LoadBalancer")
DUAL = "must be 'RequireDualStack' or 'PreferDualStack' when multiple"
TAKEN = "provided port is already allocated"
NOT_HERE = "this cluster is not configured for dual-stack services"


class Addresses:
    """Gives out what is free in the newest state of the store."""

    def __init__(self, store: Store, network: ipaddress.IPv4Network) -> None:
        self._store = store
        self._ranges = Ranges(store, network)

    def give(self, service: Obj, old: Obj | None = None, *, dry_run: bool = False) -> None:
        """Complete a new or changed Service, in place. Raises ApiError 422."""
        spec, before = service["spec"], clusterips.spec_of(old)
        _in_step(spec, before if old is not None else None)
        if old is not None:
            _keep(spec, before)
        numbered = spec["type"] in WITH_PORTS or needs_health_check(spec)
        others = self._others(service) if numbered else []
        if spec["type"] != "ExternalName":
            self._families(service, old)
            self._address(service, before, dry_run=dry_run)
        if spec["type"] in WITH_PORTS:
            self._ports(service, others, before)
        if needs_health_check(spec) and not spec.get("healthCheckNodePort"):
            spec["healthCheckNodePort"] = self._next(_used(others) | _ports_of(spec))

    def _others(self, service: Obj) -> list[Obj]:
        own = Key("services", service["metadata"]["namespace"], service["metadata"].get("name") or "")
        entries = self._store.heads("services")
        return [codec.decode(entry.data)["spec"] for entry in entries if entry.key != own]

    def _families(self, service: Obj, old: Obj | None) -> None:
        spec = service["spec"]
        headless = spec.get("clusterIP") == "None" and not spec.get("selector")
        if "ipFamilyPolicy" not in spec:
            present = clusterips.spec_of(old).get("ipFamilyPolicy")
            spec["ipFamilyPolicy"] = present or ("RequireDualStack" if headless else "SingleStack")
        _refuse(service, clusterips.related(service, old))
        _refuse(service, _single(spec))
        families = spec.get("ipFamilies") or []
        for position, address in enumerate((spec.get("clusterIPs") or [])[len(families) :]):
            if address != "None" and ":" in address and not headless:
                text = "IPv6 is not configured on this cluster"
                _refuse(service, [bad(f"spec.clusterIPs[{position}]", spec["clusterIPs"], text)])
            if address != "None":
                families = [*families, f"IPv{ipaddress.ip_address(address).version}"]
        if headless:
            families = families or ["IPv4"]
            if len(families) < 2 and spec["ipFamilyPolicy"] != "SingleStack":
                families = [*families, "IPv6" if families[0] == "IPv4" else "IPv4"]
            spec["ipFamilies"] = families
            return
        causes = [bad("spec.ipFamilyPolicy", "RequireDualStack", NOT_HERE)]
        problems = causes if spec["ipFamilyPolicy"] == "RequireDualStack" else []
        problems += [
            bad(f"spec.ipFamilies[{position}]", family, "not configured on this cluster")
            for position, family in enumerate(families)
            if family != "IPv4"
        ]
        _refuse(service, problems)
        spec["ipFamilies"] = families or ["IPv4"]

    def _address(self, service: Obj, before: Obj, *, dry_run: bool) -> None:
        spec = service["spec"]
        addresses = spec.get("clusterIPs") or []
        if addresses[:1] == ["None"]:
            return
        if not addresses:
            addresses = [self._ranges.first() if dry_run else self._ranges.free()]
            if not addresses[0]:
                text = f"failed to allocate a serviceIP: {FULL}"
                raise ApiError(500, f"Internal error occurred: {text}", reason="InternalError")
        elif addresses[0] != before.get("clusterIP"):
            self._check(service, addresses[0], dry_run=dry_run)
        spec["clusterIPs"] = addresses
        spec["clusterIP"] = addresses[0]

    def _check(self, service: Obj, address: str, *, dry_run: bool) -> None:
        problem = self._ranges.outside(address) if dry_run else self._ranges.problem(address)
        if problem:
            text = f"failed to allocate IP {address}: {problem}"
            _refuse(service, [bad("spec.clusterIPs", service["spec"]["clusterIPs"], text)])

    def _ports(self, service: Obj, others: list[Obj], before: Obj) -> None:
        spec = service["spec"]
        taken, own = _used(others), _ports_of(before)
        same: dict[int, int] = {}
        given: set[tuple[int, str]] = set()
        wanted = spec.get("type") == "NodePort" or spec.get("allocateLoadBalancerNodePorts", True)
        for position, port in enumerate(spec.get("ports") or ()):
            number = port.get("nodePort") or 0
            if not number and not wanted:
                continue
            if not number:
                port["nodePort"] = same.get(port.get("port") or 0) or self._next(taken | _ports_of(spec))
            elif number not in own and (number, port.get("protocol")) in given:
                _refuse(service, [bad(f"spec.ports[{position}].nodePort", number, TAKEN)])
            elif number not in own and number not in same.values():
                self._check_port(service, f"spec.ports[{position}].nodePort", number, taken)
            given.add((port["nodePort"], port.get("protocol")))
            same.setdefault(port.get("port") or 0, port["nodePort"])

    def _check_port(self, service: Obj, field: str, number: int, taken: set[int]) -> None:
        if number not in NODE_PORTS:
            text = "provided port is not in the valid range. The range of valid ports is 30000-32767"
            _refuse(service, [bad(field, number, text)])
        if number in taken:
            _refuse(service, [bad(field, number, TAKEN)])

    def _next(self, taken: set[int]) -> int:
        return next(number for number in NODE_PORTS if number not in taken)


def _refuse(service: Obj, causes: list[Cause]) -> None:
    if causes:
        raise invalid("Service", "", service["metadata"].get("name") or "", causes)


def _ports_of(spec: Obj) -> set[int]:
    ports = {port.get("nodePort") or 0 for port in spec.get("ports") or ()}
    return (ports | {spec.get("healthCheckNodePort") or 0}) - {0}


def _used(others: list[Obj]) -> set[int]:
    return {number for other in others for number in _ports_of(other)}


def _single(spec: Obj) -> list[Cause]:
    if spec["ipFamilyPolicy"] != "SingleStack":
        return []
    causes = []
    for field, what in (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")):
        if len(spec.get(field) or ()) == 2:
            causes.append(bad("spec.ipFamilyPolicy", "SingleStack", f"{DUAL} {what} are specified"))
    return causes


def _in_step(spec: Obj, before: Obj | None) -> None:
    """clusterIP and clusterIPs say the same, also for clients that know only the first."""
    address, addresses = spec.get("clusterIP") or "", spec.get("clusterIPs") or []
    if before is None:
        if address and not addresses:
            spec["clusterIPs"] = [address]
        return
    was, were = before.get("clusterIP") or "", before.get("clusterIPs") or []
    if were and not addresses and address == was:
        spec["clusterIPs"] = were
    elif address != was and addresses == were:
        if address:
            spec["clusterIPs"] = [address]
        elif was:
            spec.pop("clusterIPs", None)


def _keep(spec: Obj, before: Obj) -> None:
    """What was given out stays when the client leaves it out (patchAllocatedValues)."""
    if "ExternalName" not in (spec["type"], before.get("type")):
        if not spec.get("clusterIP") and before.get("clusterIP"):
            spec["clusterIP"] = before["clusterIP"]
        if not spec.get("clusterIPs") and before.get("clusterIPs"):
            spec["clusterIPs"] = before["clusterIPs"]
    if spec["type"] in WITH_PORTS and before.get("type") in WITH_PORTS:
        numbers = [{p.get("nodePort") for p in s.get("ports") or ()} - {None, 0} for s in (spec, before)]
        known = {port.get("name") or "": port.get("nodePort") for port in before.get("ports") or ()}
        for port in spec.get("ports") or ():
            number = known.get(port.get("name") or "")
            if not port.get("nodePort") and number and number not in numbers[0] & numbers[1]:
                port["nodePort"] = number
    if needs_health_check(spec) and needs_health_check(before) and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = before.get("healthCheckNodePort", 0)
