"""Jobs on nodes: who takes part, whose turn it is, what a report changes, and what becomes of the job."""

from __future__ import annotations

from typing import Any

import pytest

from edgelab.objects.nodejobs import progress
from edgelab.objects.nodejobs.flows import CONFIG, FLOWS, PREPULL, UPGRADE, following

Obj = dict[str, Any]
EDGE = {"node-role.kubernetes.io/edge": ""}
NOW = "2026-11-21T09:03:41Z"


def node(name: str, ready: str = "True", **labels: str) -> Obj:
    return {
        "metadata": {"name": name, "labels": {**EDGE, **labels}},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    }


def upgrade(*states: Obj, **spec: Any) -> Obj:
    return {"spec": {"version": "v1.22.0", **spec}, "status": {"phase": "Init", "nodeStatus": list(states)}}


def state(name: str, phase: str = "Pending", *flow: str) -> Obj:
    found = {"nodeName": name, "phase": phase}
    return (
        {**found, "actionFlow": [{"action": one, "status": "True", "time": NOW} for one in flow]}
        if flow
        else found
    )


def report(action: str, *, ok: bool = True, reason: str = "", extend: str = "") -> Obj:
    return {"action": action, "succ": ok, "finishTime": NOW, "reason": reason, "extend": extend}


def test_every_flow_ends_and_names_only_its_own_actions() -> None:
    for job, flow in FLOWS.items():
        for action, step in flow.items():
            for after in step:
                assert after is None or after in flow, (job, action)
    assert following(UPGRADE, "Upgrade", succeeded=False) == "RollBack"
    assert following(CONFIG, "Update", succeeded=True) is None
    assert following(PREPULL, "Check", succeeded=False) is None


def test_a_new_job_has_the_named_nodes_and_says_why_one_cannot_take_part() -> None:
    cloud = node("cloud")
    cloud["metadata"]["labels"] = {}
    nodes = [node("e1"), node("e2", "Unknown"), cloud]
    job = {"spec": {"nodeNames": ["e1", "e2", "cloud", "ghost", "e1"]}}
    status = progress.begun(UPGRADE, job, nodes)
    assert status["phase"] == "Init"
    assert [(one["nodeName"], one["phase"], one.get("reason")) for one in status["nodeStatus"]] == [
        ("e1", "Pending", None),
        ("e2", "Failure", "the node is not ready"),
        ("cloud", "Failure", "the node is not an edge node"),
        ("ghost", "Failure", 'failed to get node, err: Node "ghost" not found'),
    ]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ({}, "exactly one of nodeNames and labelSelector"),
        ({"nodeNames": ["e1"], "labelSelector": {"matchLabels": {"a": "b"}}}, "exactly one of"),
        ({"labelSelector": {"matchLabels": {"site": "nowhere"}}}, "no nodes were matched"),
        (
            {"labelSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}},
            "'Near' is not a valid",
        ),
    ],
)
def test_a_job_for_no_node_fails_and_says_why(spec: Obj, text: str) -> None:
    status = progress.begun(UPGRADE, {"spec": spec}, [node("e1", site="x")])
    assert status["phase"] == "Failure"
    assert text in status["reason"]
    assert progress.is_over(status)


def test_the_choice_of_an_image_job_is_in_its_template() -> None:
    job = {"spec": {"imagePrePullTemplate": {"labelSelector": {"matchLabels": {"site": "x"}}}}}
    status = progress.begun(PREPULL, job, [node("e1", site="x"), node("e2")])
    assert [one["nodeName"] for one in status["nodeStatus"]] == ["e1"]


def test_as_many_nodes_work_at_a_time_as_the_job_says_and_none_that_is_away() -> None:
    states = [state("a", "InProgress"), state("b"), state("c"), state("d"), state("e", "Failure")]
    assert progress.due(UPGRADE, upgrade(*states), lambda name: True) == []
    assert progress.due(UPGRADE, upgrade(*states, concurrency=3), lambda name: name != "b") == ["c", "d"]
    assert progress.pending(upgrade(*states)) == ["b", "c", "d"]


def test_reports_make_the_flow_of_a_node_and_the_last_one_ends_it() -> None:
    status: Obj | None = upgrade(state("e1", "InProgress"), state("e2"))["status"]
    for action in ("Check", "WaitingConfirmation", "BackUp"):
        assert status is not None
        status = progress.reported(UPGRADE, status, "e1", report(action), NOW)
    assert status is not None
    assert status["nodeStatus"][0]["phase"] == "InProgress"
    status = progress.reported(UPGRADE, status, "e1", report("Upgrade", extend="v1.21.0,v1.22.0"), NOW)
    assert status is not None
    done = status["nodeStatus"][0]
    assert (done["phase"], done["historicVersion"], done["currentVersion"]) == (
        "Successful",
        "v1.21.0",
        "v1.22.0",
    )
    assert [one["action"] for one in done["actionFlow"]] == [
        "Check",
        "WaitingConfirmation",
        "BackUp",
        "Upgrade",
    ]
    assert status["nodeStatus"][1] == state("e2")


def test_a_node_that_was_rolled_back_has_failed_with_the_first_reason() -> None:
    status = upgrade(state("e1", "InProgress", "Check", "WaitingConfirmation", "BackUp"))["status"]
    status = progress.reported(
        UPGRADE, status, "e1", report("Upgrade", ok=False, reason="it does not start"), NOW
    )
    assert status is not None
    assert status["nodeStatus"][0]["phase"] == "InProgress"
    status = progress.reported(UPGRADE, status, "e1", report("RollBack"), NOW)
    assert status is not None
    assert (status["nodeStatus"][0]["phase"], status["nodeStatus"][0]["reason"]) == (
        "Failure",
        "it does not start",
    )


def test_a_report_that_is_known_late_or_nobody_s_changes_nothing() -> None:
    status = upgrade(state("e1", "InProgress", "Check"), state("e2", "Successful", "Check"))["status"]
    assert progress.reported(UPGRADE, status, "e1", report("Check"), NOW) is None
    assert progress.reported(UPGRADE, status, "e2", report("BackUp"), NOW) is None
    assert progress.reported(UPGRADE, status, "ghost", report("Check"), NOW) is None
    with pytest.raises(KeyError):
        progress.reported(UPGRADE, status, "e1", report("Pull"), NOW)


def test_a_node_that_was_given_up_may_still_succeed() -> None:
    status = progress.expired(upgrade(state("e1", "InProgress", "Check"))["status"], "e1")
    assert status["nodeStatus"][0]["phase"] == "Unknown"
    later = progress.reported(UPGRADE, status, "e1", report("BackUp"), NOW)
    assert later is not None
    assert later["nodeStatus"][0]["phase"] == "InProgress"


def test_images_are_listed_as_the_node_tells() -> None:
    job = {"phase": "Init", "nodeStatus": [state("e1", "InProgress", "Check")]}
    extend = '[{"image":"a:1","status":"False","reason":"no"},{"image":"b:1","status":"True"}]'
    failed = progress.reported(
        PREPULL, job, "e1", report("Pull", ok=False, reason="some", extend=extend), NOW
    )
    assert failed is not None
    assert [one["image"] for one in failed["nodeStatus"][0]["imageStatus"]] == ["a:1", "b:1"]
    broken = progress.reported(PREPULL, job, "e1", report("Pull", extend="{"), NOW)
    assert broken is not None
    assert "imageStatus" not in broken["nodeStatus"][0]


def test_time_runs_for_who_works_but_not_while_somebody_has_to_confirm() -> None:
    waiting = state("b", "InProgress", "Check", "WaitingConfirmation")
    job = upgrade(state("a", "InProgress"), waiting, state("c"), state("d", "Successful"))
    assert list(progress.unfinished(job)) == ["a", "b"]
    job["spec"]["requireConfirmation"] = True
    assert list(progress.unfinished(job)) == ["a"]
    assert progress.unheard(job, "a")
    assert not progress.unheard(job, "b")
    assert not progress.unheard(job, "c")


@pytest.mark.parametrize(
    ("phases", "tolerated", "phase"),
    [
        (["Successful", "InProgress"], "", "InProgress"),
        (["Failure", "Pending"], "", "InProgress"),
        (["Successful", "Successful"], "", "Completed"),
        (["Successful", "Failure"], "", "Failure"),
        (["Successful", "Unknown"], "0.4", "Failure"),
        (["Successful", "Failure"], "0.5", "Completed"),
        (["Successful"] * 9 + ["Failure"], "0.1", "Completed"),
        (["Successful", "Failure"], "many", "Failure"),
    ],
)
def test_the_job_fails_when_more_nodes_do_than_it_tolerates(
    phases: list[str], tolerated: str, phase: str
) -> None:
    job = upgrade(*(state(f"e{n}", one) for n, one in enumerate(phases)), failureTolerate=tolerated)
    status = progress.summed_up(UPGRADE, job, job["status"])
    assert status["phase"] == phase
    assert progress.is_over(status) == (phase != "InProgress")
    assert ("exceeds the failure tolerance threshold" in status.get("reason", "")) == (phase == "Failure")
