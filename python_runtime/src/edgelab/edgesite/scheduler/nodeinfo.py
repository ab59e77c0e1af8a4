"""A node and what is on it: read once for each version of the node, kept up to date pod by pod. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from edgelab.edgesite.scheduler.demand import PODS, Port, amount
from edgelab.edgesite.scheduler.podinfo import PodInfo
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import labels


class NodeInfo:
    """A node by name; `node` is None while only its pods are known."""

    __slots__ = (
        "allocatable",
        "apart",
        "caring",
        "cpu",
        "images",
        "labels",
        "memory",
        "name",
        "node",
        "pods",
        "ports",
        "requested",
        "spec",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.node: Obj | None = None
        self.labels: Mapping[str, str] = {}
        self.spec: Obj = {}
        self.allocatable: dict[str, int] = {}
        self.images: dict[str, int] = {}
        self.pods: dict[str, PodInfo] = {}
        self.caring: dict[str, PodInfo] = {}
        """Those of the pods that have terms about others."""
        self.apart: dict[str, PodInfo] = {}
        """Those of the pods that keep others away."""
        self.requested: Counter[str] = Counter()
        self.cpu = 0
        self.memory = 0
        """Requested, with the defaults of containers that ask for nothing."""
        self.ports: Counter[Port] = Counter()

    @property
    def allowed(self) -> int:
        """How many pods the node takes."""
        return self.allocatable.get(PODS, 0)

    def set_node(self, node: Obj | None) -> None:
        """Take in a version of the node, or that it is gone."""
        self.node = node
        self.labels, self.spec = (labels(node), node.get("spec") or {}) if node else ({}, {})
        status = (node.get("status") or {}) if node else {}
        offered = status.get("allocatable") or status.get("capacity") or {}
        self.allocatable = {name: amount(name, value) for name, value in offered.items()}
        self.images = {
            name: int(image.get("sizeBytes") or 0)
            for image in status.get("images") or ()
            for name in image.get("names") or ()
        }

    def add(self, pod: PodInfo) -> None:
        """Put a pod on the node."""
        self.pods[pod.uid] = pod
        if pod.has_terms:
            self.caring[pod.uid] = pod
            if pod.apart:
                self.apart[pod.uid] = pod
        self._count(pod, 1)

    def remove(self, pod: PodInfo) -> None:
        """Take a pod off the node."""
        if self.pods.pop(pod.uid, None) is None:
            return
        self.caring.pop(pod.uid, None)
        self.apart.pop(pod.uid, None)
        self._count(pod, -1)

    def copy(self) -> NodeInfo:
        """A copy on which removing pods can be tried."""
        twin = NodeInfo(self.name)
        twin.node, twin.labels, twin.spec = self.node, self.labels, self.spec
        twin.allocatable, twin.images = self.allocatable, self.images
        twin.pods, twin.caring, twin.apart = dict(self.pods), dict(self.caring), dict(self.apart)
        twin.requested, twin.ports = self.requested.copy(), self.ports.copy()
        twin.cpu, twin.memory = self.cpu, self.memory
        return twin

    def _count(self, pod: PodInfo, sign: int) -> None:
        asked = pod.demand
        for name, value in asked.requests.items():
            self.requested[name] += sign * value
        self.cpu += sign * asked.cpu
        self.memory += sign * asked.memory
        for port in asked.ports:
            self.ports[port] += sign
            if not self.ports[port]:
                del self.ports[port]
