"""Where the proxy subresource of pods, services and nodes leads (their `ResourceLocation`)."""

from __future__ import annotations

import asyncio
import random
import re
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple

from edgelab.edgesite.apiserver import codec
from edgelab.edgesite.apiserver.context import Target
from edgelab.edgesite.apiserver.invalid import quote
from edgelab.edgesite.apiserver.relay import gowords, nodes
from edgelab.edgesite.apiserver.relay.places import Place, is_proxyable
from edgelab.edgesite.store import Key, Store
from edgelab.objects.status import ApiError, not_found

Obj = dict[str, Any]

NOT_ALLOWED = "address not allowed"
SCHEMES = ("", "http", "https")
DEFAULT_PORTS = {"http": 80, "https": 443}


class Named(NamedTuple):
    """`[scheme:]name[:port]`, as it stands in the path."""

    scheme: str
    name: str
    port: str


class ProxyPlaces:
    """Of objects as they are stored."""

    def __init__(self, store: Store, preferred: tuple[str, ...]) -> None:
        self._store = store
        self._preferred = preferred

    async def place(self, target: Target) -> Place:
        """Scheme, host and port. Raises ApiError."""
        named = _split(target.name)
        if named is None:
            raise ApiError(400, f"invalid {target.kind.name.lower()} request {quote(target.name)}")
        if target.kind.name == "Node":
            return await self._node(named)
        if target.kind.name == "Service":
            return self._service(target, named)
        return self._pod(target, named)

    def _pod(self, target: Target, named: Named) -> Place:
        pod = self._found("pods", target.namespace, named.name)
        port = named.port or _first_port(pod)
        address = next(iter(_addresses(pod)), "")
        if not is_proxyable(address):
            raise ApiError(400, NOT_ALLOWED)
        return Place(named.scheme or "http", address, _number(port, named.scheme))

    async def _node(self, named: Named) -> Place:
        host, port = nodes.kubelet(self._store, named.name, self._preferred)
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            text = gowords.not_resolved(host, error).removeprefix("dial tcp: ")
            raise ApiError(400, text) from error
        if not all(is_proxyable(str(address[0]).partition("%")[0]) for *_, address in found):
            raise ApiError(400, NOT_ALLOWED)
        if named.port in ("", str(port)):
            return Place("https", host, port, trusted=True)
        return Place(named.scheme or "http", host, _number(named.port, named.scheme))

    def _service(self, target: Target, named: Named) -> Place:
        namespace, name, port = target.namespace, named.name, named.port
        if re.fullmatch(r"[+-]?[0-9]+", port, re.ASCII):
            service = self._found("services", namespace, name)
            declared = (service.get("spec") or {}).get("ports") or ()
            found = next((item for item in declared if item.get("port") == int(port)), None)
            if found is None:
                text = f"no service port {int(port)} found for service {quote(name)}"
                raise ApiError(503, text)
            port = found.get("name") or ""
        entry = self._store.get(Key("endpoints", namespace, name))
        if entry is None:
            raise not_found("services", name)
        subsets: list[Obj] = codec.decode(entry.data).get("subsets") or []
        if not subsets:
            raise ApiError(503, f"no endpoints available for service {quote(name)}")
        ready = list(self._ready(subsets, namespace, port))
        if not ready:
            raise ApiError(503, f"no endpoints available for service {quote(target.name)}")
        host, number = random.choice(ready)  # noqa: S311 - one of several equal servers
        return Place(named.scheme or "http", host, number)

    def _ready(self, subsets: list[Obj], namespace: str, port: str) -> Iterator[tuple[str, int]]:
        """Addresses that belong to pods of the namespace: nothing else is gone to."""
        for subset in subsets:
            numbers = [int(p["port"]) for p in subset.get("ports") or () if (p.get("name") or "") == port]
            for address in (subset.get("addresses") or ()) if numbers else ():
                reference = address.get("targetRef") or {}
                entry = self._store.get(Key("pods", namespace, reference.get("name") or ""))
                if reference.get("namespace") != namespace or entry is None:
                    continue
                if address["ip"] in _addresses(codec.decode(entry.data)) and is_proxyable(address["ip"]):
                    yield address["ip"], numbers[0]

    def _found(self, plural: str, namespace: str, name: str) -> Obj:
        entry = self._store.get(Key(plural, namespace, name))
        if entry is None:
            raise not_found(plural, name)
        obj: Obj = codec.decode(entry.data)
        return obj


def _split(text: str) -> Named | None:
    """`utilnet.SplitSchemeNamePort`; None when it is no such thing."""
    parts = text.split(":")
    if len(parts) > 3 or (len(parts) == 3 and parts[0] not in SCHEMES):
        return None
    scheme, name, port = parts if len(parts) == 3 else ("", *parts, *("",) * (2 - len(parts)))
    return Named(scheme, name, port) if name else None


def _first_port(pod: Obj) -> str:
    containers = (pod.get("spec") or {}).get("containers") or ()
    return next((str(item["ports"][0]["containerPort"]) for item in containers if item.get("ports")), "")


def _addresses(pod: Obj) -> list[str]:
    status = pod.get("status") or {}
    found = [str(item.get("ip")) for item in status.get("podIPs") or () if item.get("ip")]
    return found or ([status["podIP"]] if status.get("podIP") else [])


def _number(port: str, scheme: str) -> int:
    """Raises ApiError 503 for what is no port."""
    if not port:
        return DEFAULT_PORTS[scheme or "http"]
    if port.isascii() and port.isdecimal() and int(port) < 1 << 16:
        return int(port)
    why = f"dial tcp: lookup tcp/{port}: unknown port"
    raise ApiError(503, f"error trying to reach service: {why}")
