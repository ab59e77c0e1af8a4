"""What the names of the cluster's domain stand for (the Kubernetes DNS specification, 1.1.0).

`SERVICE.NAMESPACE.svc.DOMAIN` is the ClusterIP, or the ready endpoints of a headless Service;
`HOST.SERVICE...` one of these; `_PORT._PROTOCOL.SERVICE...` an SRV record. IPv4 only: AAAA is empty.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from edgelab.edgemesh.dns import wire
from edgelab.edgemesh.dns.wire import Query, Record
from edgelab.edgemesh.table import Service, Table

TTL = 30
"""Seconds, as with EdgeMesh's CoreDNS."""
NEGATIVE_TTL = 5
"""How long a name that is not there may be remembered: Services come soon after those who ask for them."""
SVC_LABELS = 3
"""SERVICE, NAMESPACE and `svc` in front of the domain."""


class Found(NamedTuple):
    """Records for a name that exists."""

    records: list[Record]
    additional: list[Record]


NOTHING = Found([], [])


class Zone:
    """Answers questions out of the table."""

    def __init__(self, table: Table, domain: str = "cluster.local") -> None:
        self._table = table
        self._domain = tuple(domain.lower().strip(".").split("."))
        self._wire = wire.encode_name(self._domain)

    def holds(self, name: tuple[str, ...]) -> bool:
        """Whether this zone, and nobody else, answers for the name."""
        return name[-len(self._domain) :] == self._domain

    def answer(self, query: Query, limit: int) -> bytes:
        """The whole answer; SERVFAIL as long as nothing is known, so that nobody remembers it."""
        if not self._table.is_synced:
            return wire.answer(query, wire.SERVFAIL, limit=limit)
        found = self._find(query)
        if found is not None and found.records:
            return wire.answer(
                query, wire.NOERROR, records=found.records, additional=found.additional, limit=limit
            )
        start = Record(self._wire, wire.SOA, NEGATIVE_TTL, wire.authority(self._wire, 1, NEGATIVE_TTL))
        code = wire.NXDOMAIN if found is None else wire.NOERROR
        return wire.answer(query, code, authority=[start], limit=limit)

    def _find(self, query: Query) -> Found | None:
        """Records; none for a name without such records; None for a name that is not there."""
        inner = query.name[: -len(self._domain)]
        if not inner:
            return NOTHING
        if inner[-1] != "svc":
            return None
        if len(inner) < SVC_LABELS:
            return NOTHING if len(inner) == 1 or inner[0] in self._table.namespaces else None
        service = self._table.services.get((inner[-2], inner[-3]))
        if service is None:
            return None
        return self._of_service(service, inner[:-SVC_LABELS], query)

    def _of_service(self, service: Service, front: tuple[str, ...], query: Query) -> Found | None:
        if not front:
            addresses = service.addresses or tuple(dict.fromkeys(host.ip for host in service.hosts))
            if query.kind == wire.SRV:
                return self._targets(service, list(service.numbers), query.name)
            return self._addresses(addresses, query)
        if len(front) == 1 and not front[0].startswith("_"):
            matching = tuple(host.ip for host in service.hosts if host.name.lower() == front[0])
            return self._addresses(matching, query) if matching else None
        if len(front) == 2:
            wanted = [port for port in service.numbers if (f"_{port[0]}", f"_{port[1]}") == front]
            if not wanted:
                return None
            return (
                self._targets(service, wanted, query.name[2:])
                if query.kind in (wire.SRV, wire.ANY)
                else NOTHING
            )
        return None

    def _addresses(self, addresses: tuple[str, ...], query: Query) -> Found:
        if query.kind not in (wire.A, wire.ANY):
            return NOTHING
        mixed = random.sample(addresses, len(addresses))
        return Found([Record(wire.QUESTION_NAME, wire.A, TTL, wire.address(ip)) for ip in mixed], [])

    def _targets(self, service: Service, ports: list[tuple[str, str, int]], name: tuple[str, ...]) -> Found:
        """SRV records that point to the Service, or to each host of a headless one; with their addresses."""
        if service.addresses:
            hosts = [(wire.encode_name(name), ip) for ip in service.addresses]
        else:
            hosts = [(wire.encode_name((host.name.lower(), *name)), host.ip) for host in service.hosts]
        records = [
            Record(wire.QUESTION_NAME, wire.SRV, TTL, wire.service(number, target))
            for _, _, number in ports
            for target in dict.fromkeys(target for target, _ in hosts)
        ]
        return Found(records, [Record(target, wire.A, TTL, wire.address(ip)) for target, ip in hosts])
