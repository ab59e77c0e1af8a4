"""ServiceCIDRs are ready, and stay while an address depends on them (controller `servicecidrs`).

Receives ServiceCIDRs; asks for IPAddresses only while one of them is to go. Puts the protecting
finalizer on and takes it off, and writes the condition Ready.
"""

from __future__ import annotations

import datetime as dt
import ipaddress

from edgelab.daemon.clock import parse_rfc3339
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.kinds import IP_ADDRESSES, SERVICE_CIDRS
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.kube.informer import Key
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import condition, is_deleting

FINALIZER = "networking.k8s.io/service-cidr-finalizer"
OWN = "ipaddress.kubernetes.io/managed-by=ipallocator.k8s.io"
GRACE = dt.timedelta(seconds=10)
LOOK_AGAIN = 2.0
READY = {"status": "True", "reason": "", "message": "Kubernetes Service CIDR is ready"}
BLOCKED = {
    "status": "False",
    "reason": "Terminating",
    "message": (
        "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new"
        " ServiceCIDR"
    ),
}
Networks = list[ipaddress.IPv4Network | ipaddress.IPv6Network]


class ServiceCIDRController:
    """A module; its queue holds the keys of ServiceCIDRs."""

    name = "service-cidr-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ranges = cluster.view(SERVICE_CIDRS)
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, [self._ranges])
        self._ranges.add_handler(lambda _, __, new: self._queue.add_object(new))

    async def run(self) -> None:
        """Protect, and say what is ready."""
        await self._queue.run()

    async def _reconcile(self, key: Key) -> float | None:
        found = self._ranges.get(key[1])
        if found is None:
            return None
        present = list(found["metadata"].get("finalizers") or ())
        if is_deleting(found):
            return await self._let_go(found, present) if FINALIZER in present else None
        if FINALIZER not in present:
            found = await self._finalizers(found, [*present, FINALIZER])
        await self._report(found, READY)
        return None

    async def _let_go(self, found: Obj, present: list[str]) -> float | None:
        if await self._is_needed(found):
            await self._report(found, BLOCKED)
            return LOOK_AGAIN
        age = self._cluster.clock.now() - parse_rfc3339(found["metadata"]["deletionTimestamp"])
        if age < GRACE:
            return (GRACE - age).total_seconds()
        await self._finalizers(found, [name for name in present if name != FINALIZER])
        return None

    async def _is_needed(self, found: Obj) -> bool:
        """Whether an address would be in no range any more."""
        own = _networks(found)
        others = [
            network
            for other in self._ranges.all()
            if other["metadata"]["name"] != found["metadata"]["name"]
            for network in _networks(other)
        ]
        if all(any(_within(network, other) for other in others) for network in own):
            return False
        given = await self._cluster.api.list(IP_ADDRESSES, label_selector=OWN)
        addresses = (ipaddress.ip_address(obj["metadata"]["name"]) for obj in given.items)
        return any(
            any(address in network for network in own) and not any(address in other for other in others)
            for address in addresses
        )

    async def _finalizers(self, found: Obj, names: list[str]) -> Obj:
        version = found["metadata"]["resourceVersion"]
        patch = {"metadata": {"finalizers": names or None, "resourceVersion": version}}
        return await self._cluster.patch(SERVICE_CIDRS, found, patch)

    async def _report(self, found: Obj, wanted: Obj) -> None:
        present = condition(found, "Ready") or {}
        if all((present.get(field) or "") == value for field, value in wanted.items()):
            return
        conditions = [
            item for item in (found.get("status") or {}).get("conditions") or () if item["type"] != "Ready"
        ]
        changed = present.get("status") != wanted["status"]
        since = self._cluster.stamp() if changed else present["lastTransitionTime"]
        conditions.append({"type": "Ready", **wanted, "lastTransitionTime": since})
        await self._cluster.patch(SERVICE_CIDRS, found, {"status": {"conditions": conditions}}, "status")


def _networks(obj: Obj) -> Networks:
    return [ipaddress.ip_network(item) for item in obj["spec"]["cidrs"]]


def _within(inner: ipaddress.IPv4Network | ipaddress.IPv6Network, outer: object) -> bool:
    """Whether a network is another one or lies in it."""
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and inner.subnet_of(outer)
