"""A node and what is on it: read once for each version of the node, kept up to date pod by pod. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TypeVar

from edgelab.edgesite.scheduler.demand import PODS, Port, amount
from edgelab.edgesite.scheduler.podinfo import PodInfo
from edgelab.edgesite.scheduler.terms import Kin, Terms
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import labels

_T = TypeVar("_T")


class NodeInfo:
    """A node by name; `node` is None while only its pods are known."""

    __slots__ = (
        "allocatable",
        "apart",
        "cpu",
        "ending",
        "images",
        "kin",
        "labels",
        "memory",
        "name",
        "node",
        "pods",
        "ports",
        "requested",
        "spec",
        "terms",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        self.node: Obj | None = None
        self.labels: Mapping[str, str] = {}
        self.spec: Obj = {}
        self.allocatable: dict[str, int] = {}
        self.images: dict[str, int] = {}
        self.pods: dict[str, PodInfo] = {}
        self.ending: dict[str, PodInfo] = {}
        """Those of the pods whose deletion was asked for."""
        self.kin: Counter[Kin] = Counter()
        """The pods by what selectors see of them."""
        self.terms: Counter[Terms] = Counter()
        """The pods' terms about others."""
        self.apart: Counter[Terms] = Counter()
        """Those of the terms that keep others away."""
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
        if pod.is_deleting:
            self.ending[pod.uid] = pod
        self._count(pod, 1)

    def remove(self, pod: PodInfo) -> None:
        """Take a pod off the node."""
        counted = self.pods.pop(pod.uid, None)
        self.ending.pop(pod.uid, None)
        if counted is not None:
            self._count(counted, -1)

    def refresh(self, pod: Obj) -> None:
        """Take in a version of a pod that asks for what it asked for before."""
        info = self.pods[pod["metadata"]["uid"]]
        info.obj = pod
        if info.is_deleting:
            self.ending[info.uid] = info

    def copy(self) -> NodeInfo:
        """A copy on which removing pods can be tried."""
        twin = NodeInfo(self.name)
        twin.node, twin.labels, twin.spec = self.node, self.labels, self.spec
        twin.allocatable, twin.images = self.allocatable, self.images
        twin.pods, twin.ending, twin.kin = dict(self.pods), dict(self.ending), self.kin.copy()
        twin.terms, twin.apart = self.terms.copy(), self.apart.copy()
        twin.requested, twin.ports = self.requested.copy(), self.ports.copy()
        twin.cpu, twin.memory = self.cpu, self.memory
        return twin

    def _count(self, pod: PodInfo, sign: int) -> None:
        asked = pod.demand
        _add(self.kin, pod.kin, sign)
        if pod.terms:
            _add(self.terms, pod.terms, sign)
            if pod.terms.apart:
                _add(self.apart, pod.terms, sign)
        for name, value in asked.requests.items():
            self.requested[name] += sign * value
        self.cpu += sign * asked.cpu
        self.memory += sign * asked.memory
        for port in asked.ports:
            _add(self.ports, port, sign)


def _add(counts: Counter[_T], key: _T, sign: int) -> None:
    counts[key] += sign
    if not counts[key]:
        del counts[key]
