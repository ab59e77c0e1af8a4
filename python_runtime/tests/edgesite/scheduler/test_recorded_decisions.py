"""What kube-scheduler 1.35 did: where pods went, what it said of the others, whom it removed for whom.

Recorded with a real kube-apiserver and kube-scheduler, no controllers and no kubelets: a victim with a
node stays until it is removed.
"""

from __future__ import annotations

import pytest
from tests.edgesite.scheduler.replay import load, replaying

from edgelab.kube.interface import Obj

STEPS, ANSWERS = load("decisions.steps"), load("decisions")


@pytest.mark.parametrize("situation", STEPS)
async def test_the_decision_is_the_recorded_one(situation: str) -> None:
    async with replaying() as replay:
        states = await replay.play(STEPS[situation])
    assert states == [_without_the_servers_own(state) for state in ANSWERS[situation]]


def _without_the_servers_own(state: Obj) -> Obj:
    """Whether a pod is gated is said by the API server."""
    for pod in state["pods"].values():
        if (pod.get("scheduled") or [None, None])[1] == "SchedulingGated":
            del pod["scheduled"]
    return state
