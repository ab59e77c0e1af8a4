"""Two machines with one node's certificate (a copied SD card): each takes the session from the other."""

from __future__ import annotations

from collections import OrderedDict, deque

from edgelab.daemon.clock import SYSTEM, Clock

MANY, WITHIN_SECONDS = 4, 300.0
KNOWN = 1024
REASON = "ConnectionsReplaced"
TEXT = (
    f"its connection was replaced by another one {MANY} times within {WITHIN_SECONDS / 60:g} minutes; if two"
    " machines use its certificate, remove it from one of them and let that join under a name of its own"
)


class Rivals:
    """Counts replaced sessions of each node; of more than `KNOWN` nodes, those longest ago are forgotten."""

    def __init__(self, clock: Clock = SYSTEM) -> None:
        self._clock = clock
        self._moments: OrderedDict[str, deque[float]] = OrderedDict()

    def replaced(self, node: str) -> bool:
        """A session of the node gave way to a newer one; whether that happens too often."""
        moments = self._moments.setdefault(node, deque(maxlen=MANY))
        self._moments.move_to_end(node)
        if len(self._moments) > KNOWN:
            self._moments.popitem(last=False)
        moments.append(self._clock.monotonic())
        return len(moments) == MANY and moments[-1] - moments[0] <= WITHIN_SECONDS
