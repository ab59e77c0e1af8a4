"""EndpointSlices of Endpoints that people write by hand (pkg/controller/endpointslicemirroring).

Receives Services, Endpoints and slices. A Service without a selector whose Endpoints somebody keeps gets
slices with the same addresses, so that those who read only slices see them.
"""

from __future__ import annotations

from collections.abc import Iterator

from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.controllers.support.kinds import ENDPOINT_SLICES
from edgelab.edgesite.controllers.support.recorder import Recorder
from edgelab.edgesite.controllers.support.service_pods import family
from edgelab.edgesite.controllers.support.triggers import ANNOTATION
from edgelab.edgesite.controllers.support.workqueue import WorkQueue
from edgelab.kube.informer import Key
from edgelab.kube.interface import Obj
from edgelab.kube.resources import ENDPOINTS, SERVICES
from edgelab.objects.metadata import is_deleting, labels, owner_reference

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslicemirroring-controller.k8s.io"
SKIP = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
NOT_COPIED = (ANNOTATION, "kubectl.kubernetes.io/last-applied-configuration")
MOST = 1000


class MirroringController:
    """A module; its queue holds the keys of Endpoints."""

    name = "endpoint-slice-mirroring-controller"

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._services = cluster.view(SERVICES)
        self._endpoints = cluster.view(ENDPOINTS)
        self._slices = cluster.view(ENDPOINT_SLICES)
        self._events = Recorder(cluster.api, cluster.clock, self.name)
        needs = [self._services, self._endpoints, self._slices]
        self._queue = WorkQueue(self.name, self._reconcile, cluster.clock, needs)
        for view in (self._services, self._endpoints):
            view.add_handler(lambda _, __, new: self._queue.add_object(new))
        self._slices.add_handler(self._on_slice)

    async def run(self) -> None:
        """Keep the slices."""
        await self._queue.run()

    def _on_slice(self, event_type: str, old: Obj | None, new: Obj) -> None:
        if labels(new).get(MANAGED_BY) == MANAGER and (name := labels(new).get(SERVICE_NAME)):
            self._queue.add((new["metadata"]["namespace"], name))

    async def _reconcile(self, key: Key) -> None:
        service, endpoints = self._services.get(key[1], key[0]), self._endpoints.get(key[1], key[0])
        mine = [item for item in self._slices.in_namespace(key[0]) if _is_mine(item, key[1])]
        wanted: list[Obj] = []
        if endpoints is not None and service is not None and should_mirror(service, endpoints):
            wanted = list(slices(endpoints))
            await self._tell(endpoints)
        spare = list(mine)
        missing = []
        for content in wanted:
            right = next((item for item in spare if _content(item) == _content(content)), None)
            if right is not None:
                spare.remove(right)
            else:
                missing.append(content)
        for content in missing:
            same = [item for item in spare if item["addressType"] == content["addressType"]]
            if same:
                spare.remove(same[0])
                await self._cluster.update(ENDPOINT_SLICES, _renewed(same[0], content))
            else:
                await self._cluster.create(ENDPOINT_SLICES, content, key[0])
        for surplus in spare:
            await self._cluster.delete(ENDPOINT_SLICES, surplus)

    async def _tell(self, endpoints: Obj) -> None:
        """More addresses than a slice may hold are left out."""
        skipped = 0
        for subset in endpoints.get("subsets") or ():
            count = len(subset.get("addresses") or ()) + len(subset.get("notReadyAddresses") or ())
            skipped += max(0, count - MOST)
        if skipped:
            text = (
                f"A max of {MOST} addresses can be mirrored to EndpointSlices per Endpoints subset. "
                f"{skipped} addresses were skipped"
            )
            await self._events.warning(endpoints, "TooManyAddressesToMirror", text)


def should_mirror(service: Obj, endpoints: Obj) -> bool:
    """Whether somebody else keeps these Endpoints and wants them mirrored."""
    if service["spec"].get("selector") or is_deleting(endpoints):
        return False
    notes = endpoints["metadata"].get("annotations") or {}
    return labels(endpoints).get(SKIP) != "true" and LEADER not in notes


def slices(endpoints: Obj) -> Iterator[Obj]:
    """A slice for each subset and address family."""
    for subset in endpoints.get("subsets") or ():
        found: dict[str, list[Obj]] = {}
        count = 0
        for field, ready in (("addresses", True), ("notReadyAddresses", False)):
            for address in subset.get(field) or ():
                if count < MOST:
                    found.setdefault(family(address["ip"]), []).append(_endpoint(address, ready))
                    count += 1
        for kind, members in found.items():
            yield _slice(endpoints, kind, members, subset.get("ports") or [])


def _endpoint(address: Obj, ready: bool) -> Obj:
    made: Obj = {"addresses": [address["ip"]], "conditions": {"ready": ready}}
    for name in ("targetRef", "nodeName", "hostname"):
        if address.get(name):
            made[name] = address[name]
    return made


def _slice(endpoints: Obj, kind: str, members: list[Obj], ports: list[Obj]) -> Obj:
    metadata = endpoints["metadata"]
    notes = {k: v for k, v in (metadata.get("annotations") or {}).items() if k not in NOT_COPIED}
    marks = {**labels(endpoints), SERVICE_NAME: metadata["name"], MANAGED_BY: MANAGER}
    return {
        "metadata": {
            "generateName": f"{metadata['name']}-",
            "namespace": metadata["namespace"],
            "labels": marks,
            **({"annotations": notes} if notes else {}),
            "ownerReferences": [owner_reference(endpoints)],
        },
        "addressType": kind,
        "endpoints": members,
        "ports": [{"name": "", "protocol": "TCP", **port} for port in ports],
    }


def _is_mine(found: Obj, service: str) -> bool:
    present = labels(found)
    return present.get(SERVICE_NAME) == service and present.get(MANAGED_BY) == MANAGER


def _content(found: Obj) -> Obj:
    metadata = found["metadata"]
    return {
        "addressType": found["addressType"],
        "endpoints": found.get("endpoints") or [],
        "ports": found.get("ports") or [],
        "labels": labels(found),
        "annotations": metadata.get("annotations") or {},
    }


def _renewed(found: Obj, content: Obj) -> Obj:
    kept = {name: value for name, value in found["metadata"].items() if name != "annotations"}
    metadata = {**kept, "labels": content["metadata"]["labels"]}
    if "annotations" in content["metadata"]:
        metadata["annotations"] = content["metadata"]["annotations"]
    return {**found, "metadata": metadata, "endpoints": content["endpoints"], "ports": content["ports"]}
