"""Rules about what a node has: ports, and room. No I/O.

Facts: pkg/scheduler/framework/plugins/{nodeports,noderesources/fit.go}.
"""

from __future__ import annotations

from edgelab.edgesite.scheduler.nodeinfo import NodeInfo
from edgelab.edgesite.scheduler.plugins.base import Unmoved
from edgelab.edgesite.scheduler.podinfo import PodInfo
from edgelab.edgesite.scheduler.verdict import Refusal


class NodePorts(Unmoved):
    """Ports of the host that others have."""

    name = "NodePorts"
    refusal = Refusal(name, ("node(s) didn't have free ports for the requested pod ports",), preemptible=True)

    def __init__(self, pod: PodInfo) -> None:
        self._wanted = pod.demand.ports

    def refuse(self, node: NodeInfo) -> Refusal | None:
        """Why not."""
        taken = any(port.conflicts(other) for port in self._wanted for other in node.ports)
        return self.refusal if taken else None


class NodeResourcesFit(Unmoved):
    """Room for the pod; a node that is too small even when it is empty cannot be helped."""

    name = "NodeResourcesFit"

    def __init__(self, pod: PodInfo) -> None:
        self._asked = pod.demand.requests

    def refuse(self, node: NodeInfo) -> Refusal | None:
        """Why not; every resource of which there is too little."""
        short = ["Too many pods"] if len(node.pods) + 1 > node.allowed else []
        preemptible = True
        for name, needed in self._asked.items():
            offered = node.allocatable.get(name, 0)
            if needed > offered - node.requested[name]:
                short.append(f"Insufficient {name}")
                preemptible = preemptible and needed <= offered
        return Refusal(self.name, tuple(short), preemptible) if short else None
