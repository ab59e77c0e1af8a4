"""What a rule that refuses nodes looks like."""

from __future__ import annotations

from typing import Protocol

from edgelab.edgesite.scheduler.nodeinfo import NodeInfo
from edgelab.edgesite.scheduler.podinfo import PodInfo
from edgelab.edgesite.scheduler.verdict import Refusal


class Filter(Protocol):
    """Made for one pod and one decision."""

    name: str

    def refuse(self, node: NodeInfo) -> Refusal | None:
        """Why the pod must not be on the node, if so."""
        ...

    def moved(self, pod: PodInfo, node: NodeInfo, sign: int) -> None:
        """Suppose that another pod came to a node (1) or left it (-1)."""
        ...

    def copy(self) -> Filter:
        """One with which suppositions can be tried."""
        ...


class Unmoved:
    """The part of a rule that depends on no other pod, or only on what the node itself counts."""

    def moved(self, pod: PodInfo, node: NodeInfo, sign: int) -> None:
        """Nothing to do."""

    def copy(self) -> Filter:
        """Itself: there is nothing that could change."""
        return self  # type: ignore[return-value]  # every subclass has the rest of the protocol
