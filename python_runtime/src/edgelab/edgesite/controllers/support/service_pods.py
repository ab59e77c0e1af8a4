"""Which pods stand behind a Service, and on which ports. No I/O.

Facts: pkg/controller/endpoint, staging/src/k8s.io/endpointslice.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import NamedTuple

from edgelab.edgesite.controllers.support.pods import is_finished, is_ready
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import is_deleting


class EndpointPort(NamedTuple):
    """A port as the pods have it."""

    name: str
    number: int
    protocol: str
    app_protocol: str | None


class Backend(NamedTuple):
    """One pod behind a Service."""

    pod: Obj
    addresses: tuple[str, ...]
    ports: tuple[EndpointPort, ...]
    ready: bool
    """Gets traffic: ready and not going away, or the Service publishes all."""
    serving: bool
    terminating: bool


def is_managed(service: Obj) -> bool:
    """Whether endpoints are derived from pods at all."""
    spec = service.get("spec") or {}
    return bool(spec.get("selector")) and spec.get("type") != "ExternalName"


def backends(service: Obj, pods: Iterable[Obj]) -> list[Backend]:
    """Those of the selected pods that have an address, by name."""
    everything = bool(service["spec"].get("publishNotReadyAddresses"))
    chosen = []
    for pod in pods:
        addresses = _addresses(pod)
        if not addresses or is_finished(pod):
            continue
        serving, leaving = is_ready(pod), is_deleting(pod)
        ready = everything or (serving and not leaving)
        chosen.append(Backend(pod, addresses, _ports(service, pod), ready, serving, leaving))
    return sorted(chosen, key=lambda backend: backend.pod["metadata"]["name"])


def _addresses(pod: Obj) -> tuple[str, ...]:
    status = pod.get("status") or {}
    listed = tuple(entry["ip"] for entry in status.get("podIPs") or () if entry.get("ip"))
    return listed or ((status["podIP"],) if status.get("podIP") else ())


def family(address: str) -> str:
    """`IPv4` or `IPv6`."""
    return f"IPv{ipaddress.ip_address(address).version}"


def _ports(service: Obj, pod: Obj) -> tuple[EndpointPort, ...]:
    """The Service's ports; a named target that the pod does not have is left out."""
    found = []
    for port in service["spec"].get("ports") or ():
        protocol = port.get("protocol", "TCP")
        number = _target(port.get("targetPort", port["port"]), protocol, pod)
        if number:
            found.append(EndpointPort(port.get("name", ""), number, protocol, port.get("appProtocol")))
    return tuple(found)


def _target(target: int | str, protocol: str, pod: Obj) -> int:
    if isinstance(target, int) or str(target).isdigit():
        return int(target)
    sidecars = [c for c in pod["spec"].get("initContainers") or () if c.get("restartPolicy") == "Always"]
    for container in [*pod["spec"]["containers"], *sidecars]:
        for port in container.get("ports") or ():
            if port.get("name") == target and port.get("protocol", "TCP") == protocol:
                return int(port["containerPort"])
    return 0


def hostname(service: Obj, pod: Obj) -> str | None:
    """The pod's name within the Service, if it asks for one."""
    spec = pod["spec"]
    name: str | None = spec.get("hostname")
    return name if name and spec.get("subdomain") == service["metadata"]["name"] else None


def selected(service: Obj, pods: Iterable[Obj]) -> list[Obj]:
    """The pods that the Service selects."""
    selector = service["spec"]["selector"].items()
    return [pod for pod in pods if selector <= (pod["metadata"].get("labels") or {}).items()]


def reference(pod: Obj) -> Obj:
    """The pod as `targetRef`."""
    metadata = pod["metadata"]
    return {
        "kind": "Pod",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }


def port_object(port: EndpointPort) -> Obj:
    """The port as Endpoints and EndpointSlices write it."""
    made: Obj = {"port": port.number, "protocol": port.protocol}
    if port.name:
        made["name"] = port.name
    if port.app_protocol:
        made["appProtocol"] = port.app_protocol
    return made


def serves_differently(old: Obj | None, new: Obj) -> bool:
    """Whether a pod's change can matter to a Service; most status updates do not."""
    return old is None or _aspect(old) != _aspect(new)


def _aspect(pod: Obj) -> tuple[object, ...]:
    labels = pod["metadata"].get("labels")
    return (
        labels,
        _addresses(pod),
        is_ready(pod),
        is_finished(pod),
        is_deleting(pod),
        pod["spec"].get("nodeName"),
    )
