"""Every node and what is on it: pods that the API says are bound, and those whose binding is under way.

Pods for which room was made on a node are remembered by node as well: others of lower priority
must not take that room. No I/O.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from edgelab.edgesite.scheduler.nodeinfo import NodeInfo
from edgelab.edgesite.scheduler.podinfo import PodInfo
from edgelab.kube.interface import Obj


class Images:
    """Images that nodes have, by name: how large, and on how many nodes. The first node's size counts."""

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._nodes: Counter[str] = Counter()

    def add(self, images: Mapping[str, int]) -> None:
        """A node has these images, with these sizes."""
        for name, size in images.items():
            self._sizes.setdefault(name, size)
            self._nodes[name] += 1

    def remove(self, images: Mapping[str, int]) -> None:
        """A node has these images no more."""
        for name in images:
            self._nodes[name] -= 1
            if not self._nodes[name]:
                del self._nodes[name], self._sizes[name]

    def worth(self, name: str, total: int) -> int:
        """The size of an image, less so when it is on few of all the nodes."""
        return int(float(self._sizes[name]) * (float(self._nodes[name]) / float(total)))


class Ledger:
    """Nodes by name; a pod is counted once, by uid."""

    def __init__(self) -> None:
        self._nodes: dict[str, NodeInfo] = {}
        self._places: dict[str, str] = {}
        self._nominated: dict[str, dict[str, PodInfo]] = {}
        self._wishes: dict[str, str] = {}
        self.images = Images()

    def nodes(self) -> list[NodeInfo]:
        """The nodes that exist."""
        return [info for info in self._nodes.values() if info.node is not None]

    def node(self, name: str) -> NodeInfo | None:
        """One node that exists."""
        info = self._nodes.get(name)
        return info if info is not None and info.node is not None else None

    def place(self, uid: str) -> str | None:
        """The node on which a pod is counted."""
        return self._places.get(uid)

    def set_node(self, node: Obj) -> None:
        """Take in a version of a node."""
        info = self._info(node["metadata"]["name"])
        self.images.remove(info.images)
        info.set_node(node)
        self.images.add(info.images)

    def drop_node(self, name: str) -> None:
        """Forget a node; what is said to be on it is kept for its return."""
        info = self._info(name)
        self.images.remove(info.images)
        info.set_node(None)
        self._tidy(info)

    def wish(self, uid: str) -> str:
        """The node on which room was made for a pod, if any."""
        return self._wishes.get(uid, "")

    def put(self, pod: PodInfo, node: str) -> None:
        """Count a pod on a node (again: as it is now)."""
        self.remove(pod.uid)
        self._places[pod.uid] = node
        self._info(node).add(pod)

    def refresh(self, pod: Obj) -> None:
        """Take in a version of a pod that asks for what it asked for before."""
        self._nodes[self._places[pod["metadata"]["uid"]]].refresh(pod)

    def remove(self, uid: str) -> bool:
        """Stop counting a pod. False when it was not counted."""
        name = self._places.pop(uid, None)
        if name is None:
            return False
        node = self._nodes[name]
        node.remove(node.pods[uid])
        self._tidy(node)
        return True

    def nominate(self, pod: PodInfo, node: str) -> None:
        """Remember that room was made for a pod (on no node: that there is none any more)."""
        before = self._wishes.pop(pod.uid, None)
        if before is not None:
            self._nominated[before].pop(pod.uid, None)
            if not self._nominated[before]:
                del self._nominated[before]
        if node:
            self._wishes[pod.uid] = node
            self._nominated.setdefault(node, {})[pod.uid] = pod

    def nominated(self, node: str) -> list[PodInfo]:
        """The pods for which room was made on a node."""
        return list(self._nominated[node].values()) if node in self._nominated else []

    def _info(self, name: str) -> NodeInfo:
        if name not in self._nodes:
            self._nodes[name] = NodeInfo(name)
        return self._nodes[name]

    def _tidy(self, info: NodeInfo) -> None:
        if info.node is None and not info.pods:
            self._nodes.pop(info.name, None)
