"""Clusters and pods made up at random, and what kube-scheduler 1.35 chose: nodes for pods, pods to remove.

Among nodes of the same worth it draws lots; then its choice is one of ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.edgesite.scheduler.replay import load
from tests.edgesite.site import TestClock
from tests.kube.fake_api import FakeApi

from edgelab.daemon.tasks import run_modules
from edgelab.edgesite.controllers.support.cluster import Cluster
from edgelab.edgesite.scheduler import preemption
from edgelab.edgesite.scheduler.cycle import Cycle
from edgelab.edgesite.scheduler.ledger import Ledger
from edgelab.edgesite.scheduler.lookup import BUDGETS, Lookup
from edgelab.edgesite.scheduler.podinfo import PodInfo
from edgelab.kube.interface import Obj
from edgelab.kube.resources import NAMESPACES, SERVICES

CHOICES, PREEMPTIONS = load("choices"), load("preemptions")
CLAIMS = "no new claims to deallocate, "


def info(pod: Obj) -> PodInfo:
    pod["metadata"].setdefault("uid", pod["metadata"]["name"])
    return PodInfo(pod)


@asynccontextmanager
async def scene(made: Obj) -> AsyncIterator[tuple[Ledger, Lookup, TestClock]]:
    clock = TestClock()
    api = FakeApi(clock)
    await api.create(NAMESPACES, {"metadata": {"name": "default"}})
    for service in made.get("services", ()):
        await api.create(SERVICES, service, "default")
    for budget in made.get("budgets", ()):
        await api.create(BUDGETS, budget, "default")
    cluster = Cluster(api, clock)
    lookup = Lookup(cluster)
    task = asyncio.create_task(run_modules(cluster.informers))
    for view in lookup.views.values():
        await view.wait_synced()
    ledger = Ledger()
    for node in made["nodes"]:
        ledger.set_node(node)
    for pod in made["placed"]:
        ledger.put(info(pod), pod["spec"]["nodeName"])
    yield ledger, lookup, clock
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("number", range(len(CHOICES)))
async def test_the_chosen_node_is_one_of_the_best(number: int) -> None:
    made = CHOICES[number]
    pods = {pod["metadata"]["name"]: pod for pod, *_ in made["steps"]}
    async with scene(made) as (ledger, lookup, clock):
        for pod, bound, answer in made["steps"]:
            for name, node in bound.items():
                if name in pods:
                    ledger.put(info(pods[name]), node)
            cycle = Cycle(info(pod), ledger, lookup)
            found = cycle.run()
            name = pod["metadata"]["name"]
            if answer.startswith("0/"):
                after = preemption.preempt(cycle, clock.now()).message
                assert not found, name
                assert cycle.diagnosis.message(CLAIMS + after) == answer, name
                continue
            worth = dict(zip((node.name for node in found), cycle.scores(found), strict=True))
            assert answer in worth, name
            assert worth[answer] == max(worth.values()), (name, worth)


@pytest.mark.parametrize("number", range(len(PREEMPTIONS)))
async def test_those_who_make_room_are_the_ones(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made = PREEMPTIONS[number]
    answer = made["answer"]
    candidates: dict[str, preemption.Candidate] = {}

    def pick(found: list[preemption.Candidate], now: Any) -> preemption.Candidate:
        candidates.update((candidate.node, candidate) for candidate in found)
        return original(found, now)

    original = preemption.pick
    monkeypatch.setattr(preemption, "pick", pick)
    async with scene(made) as (ledger, lookup, clock):
        cycle = Cycle(info(made["pod"]), ledger, lookup)
        assert cycle.run() == []
        ours = preemption.preempt(cycle, clock.now()).candidate
    assert cycle.diagnosis.message() == answer["message"]
    theirs = candidates[answer["nominated"]]
    assert sorted(victim.name for victim in theirs.victims) == answer["victims"]
    assert ours is not None
    assert preemption.harm(theirs, clock.now()) == preemption.harm(ours, clock.now())
