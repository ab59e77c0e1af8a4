"""Why a pod cannot be placed, in kube-scheduler's words (pkg/scheduler/framework: `Status`, `FitError`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

NO_NODES = "no nodes available to schedule pods"
NOT_HELPFUL = "Preemption is not helpful for scheduling"


class Refusal(NamedTuple):
    """Why a node was refused, by which plugin, and whether removing pods from it could help."""

    plugin: str
    reasons: tuple[str, ...]
    preemptible: bool = False


class SchedulerError(Exception):
    """A decision could not be made; the pod is tried again after a while."""


@dataclass(slots=True)
class Diagnosis:
    """The outcome of an attempt that found no node."""

    total: int
    refusals: dict[str, Refusal] = field(default_factory=dict)
    """By node."""
    absent: Refusal | None = None
    """What holds for every node that was not looked at."""
    before: str = ""
    """Why no node had to be looked at."""
    plugins: set[str] = field(default_factory=set)
    """Those that refused."""

    def of(self, node: str) -> Refusal | None:
        """The refusal of one node."""
        return self.refusals.get(node, self.absent)

    def message(self, after: str = "") -> str:
        """The text of the condition and of the event; `after` is what preemption has to say."""
        text = f"0/{self.total} nodes are available:"
        if self.before:
            text += f" {self.before}."
        elif reasons := histogram(self.refusals, self.total, self.absent):
            text += f" {reasons}."
        return f"{text} {after}" if after else text


def histogram(refusals: Mapping[str, Refusal], total: int, absent: Refusal | None) -> str:
    """How often each reason occurs, sorted as text."""
    reasons = Counter(reason for refusal in refusals.values() for reason in refusal.reasons)
    if absent is not None and len(refusals) < total:
        for reason in absent.reasons:
            reasons[reason] += total - len(refusals)
    return ", ".join(sorted(f"{count} {reason}" for reason, count in reasons.items()))


def no_candidates(refusals: Mapping[str, Refusal], total: int) -> str:
    """What preemption says when it helps on no node."""
    absent = Refusal("", (NOT_HELPFUL,))
    return Diagnosis(total, dict(refusals), absent).message()


def joined(reasons: Iterable[str]) -> str:
    """Several reasons as one message."""
    return ", ".join(reasons)
