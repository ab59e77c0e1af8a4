"""Which pods of a DaemonSet to delete, and where to make new ones. No I/O.

`keep` sees to one pod on every node that fits; `roll` replaces old ones within `maxUnavailable` and
`maxSurge`. Facts: pkg/controller/daemon/{daemon_controller,update}.go.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from edgelab.edgesite.controllers.daemonset.placement import Judge, generation, is_updated
from edgelab.edgesite.controllers.deployment.rollout import portion
from edgelab.edgesite.controllers.support.pods import available_in, is_finished, is_ready
from edgelab.kube.interface import Obj
from edgelab.objects.metadata import is_deleting


@dataclass(slots=True)
class Plan:
    """What to do."""

    create: list[str] = field(default_factory=list)
    """Names of nodes."""
    delete: list[Obj] = field(default_factory=list)


@dataclass(slots=True)
class View:
    """What is there: the nodes that may be judged, and the pods by the node that they are on or meant for."""

    daemon_set: Obj
    nodes: list[Obj]
    by_node: dict[str, list[Obj]]
    digest: str
    now: dt.datetime

    def __post_init__(self) -> None:
        for pods in self.by_node.values():
            pods.sort(key=_oldest_first)

    def is_new(self, pod: Obj) -> bool:
        """Whether the pod was made from the present template."""
        return is_updated(pod, self.digest, generation(self.daemon_set))

    def is_available(self, pod: Obj) -> bool:
        """Whether the pod has been ready for long enough."""
        minimum = int(self.daemon_set["spec"].get("minReadySeconds", 0))
        return available_in(pod, minimum, self.now) == 0.0


def limits(daemon_set: Obj, desired: int) -> tuple[int, int]:
    """`maxSurge` and `maxUnavailable`, both rounded up."""
    strategy = daemon_set["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return 0, 0
    rolling = strategy.get("rollingUpdate") or {}
    surge = portion(rolling.get("maxSurge", 0), desired, up=True)
    unavailable = portion(rolling.get("maxUnavailable", 1), desired, up=True)
    if desired and not surge and not unavailable:
        unavailable = 1
    return surge, unavailable


def keep(view: View, judge: Judge, may_retry: Callable[[Obj, str], bool]) -> Plan:
    """One pod on every node that fits and none elsewhere; `may_retry` says if a failed pod may go now."""
    plan = Plan()
    surges = limits(view.daemon_set, 1)[0] > 0
    names = set()
    for node in view.nodes:
        name = node["metadata"]["name"]
        names.add(name)
        pods = view.by_node.get(name)
        if pods is None:
            if judge.should_run(node):
                plan.create.append(name)
        elif not judge.may_stay(node):
            plan.delete += [pod for pod in pods if not is_deleting(pod)]
        else:
            running = _sort_out(plan, pods, name, may_retry)
            if not surges:
                plan.delete += running[1:]
            elif running:
                plan.delete += _beside(view, running)
            elif judge.should_run(node):
                plan.create.append(name)
    for name, pods in view.by_node.items():
        if name not in names:
            plan.delete += [pod for pod in pods if not pod["spec"].get("nodeName")]
    return plan


def _sort_out(plan: Plan, pods: list[Obj], node: str, may_retry: Callable[[Obj, str], bool]) -> list[Obj]:
    """Delete what has ended; gives what has not."""
    running = []
    for pod in pods:
        if is_deleting(pod):
            continue
        if not is_finished(pod):
            running.append(pod)
        elif may_retry(pod, node):
            plan.delete.append(pod)
    return running


def _beside(view: View, running: list[Obj]) -> list[Obj]:
    """While surging, an old pod may serve beside a new one that cannot yet; all others go."""
    new = [pod for pod in running if view.is_new(pod)]
    old = [pod for pod in running if not view.is_new(pod)]
    surplus = new[1:] + old[1:]
    if new and old and (not is_ready(old[0]) or view.is_available(new[0])):
        surplus.append(old[0])
    return surplus


def roll(view: View, judge: Judge) -> Plan:
    """Replace old pods."""
    wanted = {node["metadata"]["name"] for node in view.nodes if judge.should_run(node)}
    surge, unavailable = limits(view.daemon_set, len(wanted))
    pairs = [
        (name, _pair(view, view.by_node.get(name, []))) for name in {**view.by_node, **dict.fromkeys(wanted)}
    ]
    if surge == 0:
        return _by_deleting(view, [pair for _, pair in pairs], unavailable)
    return _by_surging(view, dict(pairs), wanted, surge)


Pair = tuple[Obj | None, Obj | None]


def _pair(view: View, pods: Iterable[Obj]) -> Pair | None:
    """The new and the old pod on a node; None when there are too many."""
    living = [pod for pod in pods if not is_deleting(pod)]
    new = [pod for pod in living if view.is_new(pod)]
    old = [pod for pod in living if not view.is_new(pod)]
    if len(new) > 1 or len(old) > 1:
        return None
    return next(iter(new), None), next(iter(old), None)


def _by_deleting(view: View, pairs: list[Pair | None], most: int) -> Plan:
    """Old pods that serve nobody go at once, others as far as the limit allows."""
    down, free, candidates = 0, [], []
    for pair in pairs:
        new, old = pair or (None, None)
        if old is not None and new is None:
            if view.is_available(old):
                candidates.append(old)
            else:
                free.append(old)
                down += 1
        elif new is None or old is not None or not view.is_available(new):
            down += 1
    return Plan(delete=free + candidates[: max(0, most - down)])


def _by_surging(view: View, pairs: dict[str, Pair | None], wanted: set[str], most: int) -> Plan:
    """New pods beside old ones first; an old one goes when the new one is available."""
    plan = Plan()
    surging, available = 0, 0
    candidates: list[str] = []
    leaving: list[Obj] = []
    for name, pair in pairs.items():
        if pair is None:
            surging += 1
            continue
        new, old = pair
        counted = old or new
        available += counted is not None and view.is_available(counted)
        if old is None:
            continue
        if new is not None:
            if view.is_available(new):
                plan.delete.append(old)
            else:
                surging += 1
        elif not view.is_available(old):
            if name in wanted:
                plan.create.append(name)
            else:
                plan.delete.append(old)
        elif name in wanted:
            candidates.append(name)
        else:
            leaving.append(old)
    plan.delete += leaving[: max(0, available - len(wanted))]
    plan.create += candidates[: max(0, most - surging)]
    return plan


def _oldest_first(pod: Obj) -> tuple[bool, str, str]:
    metadata = pod["metadata"]
    return not pod["spec"].get("nodeName"), metadata.get("creationTimestamp", ""), metadata["name"]
