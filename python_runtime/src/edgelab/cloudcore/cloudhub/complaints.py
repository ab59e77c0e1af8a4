"""What is wrong with nodes: said once, then now and then with a count, and once more when it is over.

Receives: complaints of the hub and its listeners. Gives: log lines, and `report` for an Event.
Keeps: `KNOWN` complaints in memory; of more, the one that was quiet for longest is forgotten.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from edgelab.daemon.clock import SYSTEM, Clock

log = logging.getLogger("edgelab.cloudcore.nodes")

Report: TypeAlias = Callable[[str, str, str, int], None]
"""`report(node, reason, text, times)`: for people who look at the Node."""

QUIET_SECONDS = 600.0
"""A complaint that goes on is said again after this time; one that does not is over after it."""
SWEEP_SECONDS = 60.0
KNOWN = 4096
LONGEST = 1000


class _Topic(NamedTuple):
    node: str
    reason: str
    detail: str = ""


@dataclass(slots=True)
class _Complaint:
    said: float
    last: float
    unsaid: int = 0


class Complaints:
    """A module: `tell` at any time; `run` notices what is over. Calls return at once."""

    name = "cloudhub/complaints"

    def __init__(
        self, report: Report = lambda node, reason, text, times: None, clock: Clock = SYSTEM
    ) -> None:
        self.counts: Counter[str] = Counter()
        """How often each reason was given."""
        self._report = report
        self._clock = clock
        self._known: OrderedDict[_Topic, _Complaint] = OrderedDict()

    def tell(self, node: str, reason: str, text: str, detail: str = "") -> bool:
        """Complain of a node (empty: of nobody in particular). `reason` is a word of an Event.

        What is said once is one reason of one node, or one `detail` of it where there is any.
        Whether it was said now.
        """
        self.counts[reason] += 1
        now, text = self._clock.monotonic(), text[:LONGEST]
        topic = _Topic(node, reason, detail)
        known = self._known.get(topic)
        if known is None:
            self._known[topic] = _Complaint(now, now)
            if len(self._known) > KNOWN:
                self._known.popitem(last=False)
            self._say(node, reason, text, 1)
            return True
        self._known.move_to_end(topic)
        known.last = now
        known.unsaid += 1
        if now - known.said < QUIET_SECONDS:
            return False
        self._say(node, reason, text, known.unsaid)
        known.said, known.unsaid = now, 0
        return True

    def over(self, node: str, reasons: frozenset[str]) -> None:
        """What these reasons say of the node is no longer so."""
        for reason in reasons:
            if self._known.pop(_Topic(node, reason), None) is not None:
                log.info("%s: %s is over", _who(node), reason)

    async def run(self) -> None:
        """Notice what is over until cancelled."""
        while True:
            await self._clock.sleep(SWEEP_SECONDS)
            self.sweep()

    def sweep(self) -> None:
        """Forget, and say so, what has not been complained of for a while."""
        limit = self._clock.monotonic() - QUIET_SECONDS
        for topic, known in list(self._known.items()):
            if known.last <= limit:
                del self._known[topic]
                more = f"; it came {known.unsaid} more times" if known.unsaid else ""
                log.info("%s: no more %s for %d s%s", _who(topic.node), topic.reason, QUIET_SECONDS, more)

    def _say(self, node: str, reason: str, text: str, times: int) -> None:
        log.warning("%s: %s%s", _who(node), text, f" ({times} times since this was last said)" * (times > 1))
        if node and self._report is not None:
            self._report(node, reason, text, times)


def _who(node: str) -> str:
    return f"node {node}" if node else "a connection"
