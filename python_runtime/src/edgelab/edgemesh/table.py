"""Services and their endpoints as the DNS server and the proxy need them.

Receives: Services, EndpointSlices and DestinationRules from informers, each change at once. Gives: `Service`
records by name, and a call of every listener after changes. Keeps everything in memory only: what it knew
stays while MetaServer is away. Facts: core/v1 ServiceSpec, discovery.k8s.io/v1 EndpointSlice; kube-proxy
`pkg/proxy/topology.go` for which endpoints count.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from edgelab.kube.informer import DELETED, Key
from edgelab.objects.endpoints import may_be_dialled
from edgelab.objects.metadata import key_of, labels

Obj: TypeAlias = dict[str, Any]

SERVICE_OF_SLICE = "kubernetes.io/service-name"
MESH_LABEL = "service.edgemesh.kubeedge.io/service-proxy-name"
PROXY_LABEL = "service.kubernetes.io/service-proxy-name"
"""A Service with this label is another proxy's (well_known_labels.go)."""
DEFAULT_AFFINITY_SECONDS = 10_800
PROTOCOLS = ("TCP", "UDP")
ROUND_ROBIN, RANDOM, SOURCE_IP = "ROUND_ROBIN", "RANDOM", "SOURCE_IP"


class Endpoint(NamedTuple):
    """One address and port that answers; `node` is empty when nobody says where it is."""

    ip: str
    port: int
    node: str


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a Service. `endpoints` are those that connections may go to now."""

    namespace: str
    service: str
    name: str
    protocol: str
    port: int
    addresses: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]
    affinity_seconds: int
    """How long a client stays with its endpoint; 0 without session affinity."""
    policy: str


class Host(NamedTuple):
    """A ready address behind a headless Service, under its own name where it has one."""

    name: str
    ip: str


@dataclass(frozen=True, slots=True)
class Service:
    """What names and ports of one Service stand for. `ports` is empty for what is not proxied."""

    addresses: tuple[str, ...]
    """ClusterIPs (IPv4); empty for a headless Service."""
    hosts: tuple[Host, ...]
    """Of a headless Service."""
    numbers: tuple[tuple[str, str, int], ...]
    """Port name, protocol in lower case, number: for SRV records."""
    ports: tuple[ServicePort, ...]


class Table:
    """All Services. `node` is this node's name, for `internalTrafficPolicy: Local`."""

    def __init__(self, node: str, *, only_labelled: bool = False) -> None:
        """`only_labelled`: proxy what has EdgeMesh's label, instead of what has it not."""
        self.services: dict[Key, Service] = {}
        self.namespaces: dict[str, int] = {}
        """How many Services each namespace has."""
        self.is_synced = False
        self._node = node
        self._only_labelled = only_labelled
        self._objects: dict[Key, Obj] = {}
        self._slices: dict[Key, dict[str, Obj]] = {}
        self._rules: dict[Key, str] = {}
        self._listeners: list[Callable[[], None]] = []

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each change; it must not block."""
        self._listeners.append(listener)

    def synced(self) -> None:
        """The first lists are in."""
        self.is_synced = True
        self._tell()

    def service_changed(self, event: str, _: Obj | None, service: Obj) -> None:
        """An informer's handler for Services."""
        key = key_of(service)
        if event == DELETED:
            self._objects.pop(key, None)
        else:
            self._objects[key] = service
        self._rebuild(key)

    def slice_changed(self, event: str, old: Obj | None, new: Obj) -> None:
        """An informer's handler for EndpointSlices; a slice may change the Service that it belongs to."""
        namespace, name = key_of(new)
        touched = set()
        if old is not None and (owner := labels(old).get(SERVICE_OF_SLICE)):
            self._slices.get((namespace, owner), {}).pop(name, None)
            touched.add((namespace, owner))
        if owner := labels(new).get(SERVICE_OF_SLICE):
            known = self._slices.setdefault((namespace, owner), {})
            known.pop(name, None)
            if event != DELETED:
                known[name] = new
            touched.add((namespace, owner))
        for key in touched:
            if not self._slices.get(key):
                self._slices.pop(key, None)
            self._rebuild(key)

    def rule_changed(self, event: str, _: Obj | None, rule: Obj) -> None:
        """An informer's handler for DestinationRules: one of a Service's name is for that Service."""
        key = key_of(rule)
        self._rules.pop(key, None)
        if event != DELETED and (policy := policy_of(rule)):
            self._rules[key] = policy
        self._rebuild(key)

    def ports(self) -> Iterator[ServicePort]:
        """Every port that is proxied."""
        for service in self.services.values():
            yield from service.ports

    def has_endpoint(self, node: str, ip: str, port: int, protocol: str) -> bool:
        """Whether a Service has this endpoint on that node."""
        wanted = Endpoint(ip, port, node)
        return any(wanted in known.endpoints for known in self.ports() if known.protocol == protocol)

    def _rebuild(self, key: Key) -> None:
        obj = self._objects.get(key)
        old = self.services.pop(key, None)
        new = self._built(key, obj) if obj is not None else None
        if new is not None:
            self.services[key] = new
        self._count(key[0], (new is not None) - (old is not None))
        if new != old:
            self._tell()

    def _count(self, namespace: str, difference: int) -> None:
        count = self.namespaces.get(namespace, 0) + difference
        if count:
            self.namespaces[namespace] = count
        else:
            self.namespaces.pop(namespace, None)

    def _tell(self) -> None:
        if self.is_synced:
            for listener in self._listeners:
                listener()

    def _built(self, key: Key, obj: Obj) -> Service | None:
        spec = obj.get("spec") or {}
        if spec.get("type") == "ExternalName":
            return None
        given = spec.get("clusterIPs") or [spec.get("clusterIP") or ""]
        addresses = tuple(ip for ip in given if is_ipv4(ip))
        ports = [port for port in spec.get("ports") or [] if isinstance(port.get("port"), int)]
        numbers = tuple(
            (port.get("name") or "", (port.get("protocol") or "TCP").lower(), port["port"]) for port in ports
        )
        slices = list(self._slices.get(key, {}).values())
        hosts = () if addresses else tuple(dict.fromkeys(_hosts(slices)))
        proxied = addresses and self._is_proxied(obj)
        built = (self._port(key, spec, port, addresses, slices) for port in ports) if proxied else ()
        return Service(addresses, hosts, numbers, tuple(port for port in built if port.protocol in PROTOCOLS))

    def _is_proxied(self, obj: Obj) -> bool:
        found = labels(obj)
        return PROXY_LABEL not in found and (MESH_LABEL in found) is self._only_labelled

    def _port(
        self, key: Key, spec: Obj, port: Obj, addresses: tuple[str, ...], slices: list[Obj]
    ) -> ServicePort:
        protocol, name = port.get("protocol") or "TCP", port.get("name") or ""
        endpoints = _usable(slices, name, protocol)
        if spec.get("internalTrafficPolicy") == "Local":
            endpoints = [endpoint for endpoint in endpoints if endpoint.node == self._node]
        affinity = 0
        if spec.get("sessionAffinity") == "ClientIP":
            config = (spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}
            affinity = config.get("timeoutSeconds") or DEFAULT_AFFINITY_SECONDS
        return ServicePort(
            *key,
            name,
            protocol,
            port["port"],
            addresses,
            tuple(sorted(set(endpoints))),
            affinity,
            self._rules.get(key, ROUND_ROBIN),
        )


def policy_of(rule: Obj) -> str:
    """ROUND_ROBIN, RANDOM or SOURCE_IP of an Istio DestinationRule; empty for what is not known here."""
    balancer = (((rule.get("spec") or {}).get("trafficPolicy")) or {}).get("loadBalancer") or {}
    if (simple := balancer.get("simple")) in (ROUND_ROBIN, RANDOM):
        return str(simple)
    return SOURCE_IP if (balancer.get("consistentHash") or {}).get("useSourceIp") else ""


def is_ipv4(text: str) -> bool:
    """Whether this is an address that the mesh serves: IPv4 alone, as with EdgeMesh."""
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _members(slices: list[Obj], condition: str) -> Iterator[tuple[Obj, Obj]]:
    """Each slice with each of its endpoints that is ready (or serving); an absent condition is true."""
    for part in slices:
        if part.get("addressType") != "IPv4":
            continue
        for member in part.get("endpoints") or []:
            if (member.get("conditions") or {}).get(condition) is not False and member.get("addresses"):
                yield part, member


def _usable(slices: list[Obj], name: str, protocol: str) -> list[Endpoint]:
    """The ready endpoints; where there is none, those that still serve while they end."""
    for condition in ("ready", "serving"):
        found = [
            Endpoint(member["addresses"][0], port["port"], member.get("nodeName") or "")
            for part, member in _members(slices, condition)
            for port in part.get("ports") or []
            if (port.get("name") or "") == name
            and (port.get("protocol") or "TCP") == protocol
            and port.get("port")
            and may_be_dialled(member["addresses"][0])
        ]
        if found:
            return found
    return []


def _hosts(slices: list[Obj]) -> Iterator[Host]:
    for _, member in _members(slices, "ready"):
        for ip in member["addresses"]:
            yield Host(member.get("hostname") or ip.replace(".", "-"), ip)
