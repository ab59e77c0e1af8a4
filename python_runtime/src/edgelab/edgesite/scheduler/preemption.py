"""Which pods have to go so that a more important one gets a place. No I/O.

Facts: pkg/scheduler/framework/preemption, plugins/defaultpreemption, util/utils.go. As few as
possible go, the least important ones; disruption budgets are kept where there is a choice.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from edgelab.daemon.clock import parse_rfc3339
from edgelab.edgesite.scheduler.cycle import Cycle
from edgelab.edgesite.scheduler.nodeinfo import NodeInfo
from edgelab.edgesite.scheduler.podinfo import PodInfo
from edgelab.edgesite.scheduler.verdict import Refusal, no_candidates
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import condition
from edgelab.objects.selectors import from_object

REASON = "PreemptionByScheduler"
NEVER = "not eligible due to preemptionPolicy=Never."
TERMINATING = "not eligible due to a terminating pod on the nominated node."
NO_VICTIMS = Refusal("", ("No preemption victims found for incoming pod",))
ENOUGH, SHARE = 100, 10
"""So many candidates are enough, or that share (in percent) of the nodes in question."""
OFFSET = 1 << 31
"""Makes every priority a positive number before they are added up."""


class Candidate(NamedTuple):
    """A node, the pods that have to leave it (most important first), and how many of them budgets protect."""

    node: str
    victims: list[PodInfo]
    violations: int


class Answer(NamedTuple):
    """A candidate, or why there is none, and whether an earlier choice of a node is void."""

    candidate: Candidate | None
    message: str = ""
    is_void: bool = False


def preempt(cycle: Cycle, now: dt.datetime) -> Answer:
    """Look for pods to remove, for a pod that fitted nowhere."""
    if reason := _not_eligible(cycle):
        return Answer(None, f"preemption: {reason}")
    potential = [node for node in cycle.nodes if _may_help(cycle.diagnosis.of(node.name))]
    budgets = cycle.lookup.budgets() if potential else []
    found, refusals = [], {}
    wanted = max(ENOUGH, len(potential) * SHARE // 100)
    for node in potential:
        result = _dry_run(cycle, node.copy(), budgets, now)
        if isinstance(result, Refusal):
            refusals[node.name] = result
            continue
        found.append(result)
        if len(found) >= wanted and any(not item.violations for item in found):
            break
    if not found:
        return Answer(None, f"preemption: {no_candidates(refusals, len(cycle.nodes))}", is_void=True)
    return Answer(pick(found, now))


def _may_help(refusal: Refusal | None) -> bool:
    return refusal is not None and refusal.preemptible


def _not_eligible(cycle: Cycle) -> str:
    pod = cycle.pod
    if pod.obj["spec"].get("preemptionPolicy") == "Never":
        return NEVER
    if not cycle.nominated:
        return ""
    refusal, node = cycle.diagnosis.of(cycle.nominated), cycle.ledger.node(cycle.nominated)
    if refusal is not None and not refusal.preemptible:
        return ""
    others = node.pods.values() if node is not None else ()
    going = any(other.priority < pod.priority and is_preempted(other) for other in others)
    return TERMINATING if going else ""


def is_preempted(pod: PodInfo) -> bool:
    """Whether the pod is ending because it had to make room."""
    target = condition(pod.obj, "DisruptionTarget") if pod.is_deleting else None
    return target is not None and target.get("status") == "True" and target.get("reason") == REASON


def _dry_run(cycle: Cycle, node: NodeInfo, budgets: Sequence[Obj], now: dt.datetime) -> Candidate | Refusal:
    """Without all lesser pods it must fit; then as many as possible are let in again."""
    filters = [item.copy() for item in cycle.filters]

    def move(pod: PodInfo, sign: int) -> None:
        (node.add if sign > 0 else node.remove)(pod)
        for item in filters:
            item.moved(pod, node, sign)

    lesser = [pod for pod in node.pods.values() if pod.priority < cycle.pod.priority]
    if not lesser:
        return NO_VICTIMS
    for pod in lesser:
        move(pod, -1)
    if (refusal := cycle.refusal(node, filters)) is not None:
        return refusal
    rank = importance(lesser, now)
    lesser.sort(key=rank)
    protected, free = split_by_budgets(lesser, budgets)
    victims, violations = [], 0
    for number, pod in enumerate([*protected, *free]):
        move(pod, 1)
        if cycle.refusal(node, filters) is not None:
            move(pod, -1)
            victims.append(pod)
            violations += number < len(protected)
    victims.sort(key=rank)
    return Candidate(node.name, victims, violations) if victims else NO_VICTIMS


def importance(pods: Sequence[PodInfo], now: dt.datetime) -> Callable[[PodInfo], tuple[float, ...]]:
    """A sort key: the most important first; of equal priority the one that runs longest.

    Of those that do not run yet the last one to come counts as the most important.
    """
    order = {pod.uid: number for number, pod in enumerate(pods)}

    def rank(pod: PodInfo) -> tuple[float, ...]:
        number = order[pod.uid]
        return -pod.priority, started(pod, now), number if _start_time(pod) else -number

    return rank


def _start_time(pod: PodInfo) -> str | None:
    found: str | None = (pod.obj.get("status") or {}).get("startTime")
    return found


def started(pod: PodInfo, now: dt.datetime) -> float:
    """When the pod was started; one that is not yet counts as started now."""
    stamp = _start_time(pod)
    return (parse_rfc3339(stamp) if stamp else now).timestamp()


def split_by_budgets(pods: Iterable[PodInfo], budgets: Sequence[Obj]) -> tuple[list[PodInfo], list[PodInfo]]:
    """Pods whose removal would break a disruption budget, and the others."""
    allowed = [int((budget.get("status") or {}).get("disruptionsAllowed") or 0) for budget in budgets]
    protected: list[PodInfo] = []
    free: list[PodInfo] = []
    for pod in pods:
        is_protected = False
        for number, budget in enumerate(budgets):
            if _covers(budget, pod):
                allowed[number] -= 1
                is_protected = is_protected or allowed[number] < 0
        (protected if is_protected else free).append(pod)
    return protected, free


def _covers(budget: Obj, pod: PodInfo) -> bool:
    if not pod.labels or budget["metadata"]["namespace"] != pod.namespace:
        return False
    selector = from_object(budget["spec"].get("selector"))
    if not selector or not selector.matches(pod.labels):
        return False
    return pod.name not in ((budget.get("status") or {}).get("disruptedPods") or {})


def pick(candidates: Sequence[Candidate], now: dt.datetime) -> Candidate:
    """The one that hurts least."""
    return min(candidates, key=lambda candidate: harm(candidate, now))


def harm(candidate: Candidate, now: dt.datetime) -> tuple[float, ...]:
    """Broken budgets, the most important victim, the sum of all, their number, and how long the first ran."""
    victims = candidate.victims
    top = max(pod.priority for pod in victims)
    longest = min(started(pod, now) for pod in victims if pod.priority == top)
    total = sum(pod.priority + OFFSET for pod in victims)
    return candidate.violations, victims[0].priority, total, len(victims), -longest
