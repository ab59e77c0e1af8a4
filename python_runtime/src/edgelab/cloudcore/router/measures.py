"""The router's numbers for `/metrics`.

Labels are kinds of ends, results and queues; never nodes, rules or paths, so that their number is bounded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from edgelab.cloudcore.metrics import Family, Histogram, Sample
from edgelab.cloudcore.router.rules import REST, Rule

DELIVERED, KEPT, FAILED, REFUSED = "delivered", "kept", "failed", "refused"
NO_RULE = "none"
"""As the target of what no rule is for."""
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of a message's buckets, in seconds; `restTimeout` is 60 by default."""


class Measures:
    """Counts; `waiting` says how many messages wait in each queue, `spooled` how many bytes are kept."""

    def __init__(self) -> None:
        self.waiting: Mapping[str, Callable[[], int]] = {}
        self.spooled: Callable[[], int] = lambda: 0
        self.errands: Mapping[str, Counter[str]] = {}
        """Messages to (`out`) and from (`in`) other CloudCores, by result."""
        self._messages: Counter[tuple[str, str, str]] = Counter()
        text = (
            "From a message's arrival here to its end: its delivery, an answer, its being kept, or a failure."
        )
        self._seconds = Histogram("edgelab_router_message_seconds", text, ("source", "target"), BOUNDS)

    def count(self, rule: Rule | None, result: str) -> None:
        """One message has come to this; None for one from REST that no rule is for."""
        source, target = (REST, NO_RULE) if rule is None else (rule.origin.kind, rule.target_kind)
        self._messages[source, target, result] += 1

    def took(self, rule: Rule, seconds: float) -> None:
        """One message took so long."""
        self._seconds.observe((rule.origin.kind, rule.target_kind), seconds)

    def families(self) -> Iterator[Family]:
        """All numbers."""
        names = ("source", "target", "result")
        samples = [
            Sample(n, dict(zip(names, labels, strict=True))) for labels, n in sorted(self._messages.items())
        ]
        text = "Messages by the kinds of their rule's ends and by what became of them."
        yield Family("edgelab_router_messages_total", "counter", text, samples)
        yield self._seconds.family()
        samples = [Sample(number(), {"queue": queue}) for queue, number in self.waiting.items()]
        text = "Messages that wait: for a rule's target, for a service's answer, for their node."
        yield Family("edgelab_router_waiting_messages", "gauge", text, samples)
        text = "Bytes of messages that are kept until their node connects."
        yield Family("edgelab_router_spool_bytes", "gauge", text, [Sample(self.spooled())])
        samples = [
            Sample(number, {"direction": direction, "result": result})
            for direction, counts in self.errands.items()
            for result, number in sorted(counts.items())
        ]
        text = (
            "Messages sent to (out) and taken from (in) the other CloudCore's router, for its node or ours."
        )
        yield Family("edgelab_router_passed_on_total", "counter", text, samples)
