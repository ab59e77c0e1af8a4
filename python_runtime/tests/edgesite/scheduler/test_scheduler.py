from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.edgesite.manifests import pod
from tests.edgesite.site import Site, site

from edgelab.kube.resources import EVENTS, NODES, PODS
from edgelab.objects.metadata import condition, is_deleting
from edgelab.objects.status import ApiError


@pytest.fixture
async def cluster() -> AsyncIterator[Site]:
    async with site() as made:
        yield made


def where(cluster: Site, name: str) -> str | None:
    found: str | None = cluster.api.one(PODS, name)["spec"].get("nodeName")
    return found


def events(cluster: Site) -> dict[str, str]:
    return {event["message"]: event["reason"] for event in cluster.api.all(EVENTS)}


async def test_a_pod_waits_for_a_node_and_says_why(cluster: Site) -> None:
    await cluster.api.create(PODS, pod("p", nodeSelector={"edge": "yes"}), "default")
    await cluster.settle()
    unscheduled = condition(cluster.api.one(PODS, "p"), "PodScheduled")
    assert unscheduled is not None
    assert (unscheduled["status"], unscheduled["reason"], unscheduled["message"]) == (
        "False",
        "Unschedulable",
        "no nodes available to schedule pods",
    )
    await cluster.node("n1")
    await cluster.settle()
    message = (
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. "
        "no new claims to deallocate, preemption: 0/1 nodes are available: "
        "1 Preemption is not helpful for scheduling."
    )
    assert (condition(cluster.api.one(PODS, "p"), "PodScheduled") or {})["message"] == message
    assert events(cluster)[message] == "FailedScheduling"
    await cluster.api.patch(NODES, "n1", {"metadata": {"labels": {"edge": "yes"}}})
    await cluster.settle()
    assert where(cluster, "p") == "n1"
    assert events(cluster)["Successfully assigned default/p to n1"] == "Scheduled"


async def test_a_waiting_pod_gets_the_place_of_one_that_left(cluster: Site) -> None:
    await cluster.node("n1", pods="1")
    for name in ("first", "second"):
        await cluster.api.create(PODS, pod(name), "default")
        await cluster.settle()
    assert (where(cluster, "first"), where(cluster, "second")) == ("n1", None)
    await cluster.api.delete(PODS, "first", "default", options={"gracePeriodSeconds": 0})
    await cluster.settle()
    assert where(cluster, "second") == "n1"


async def test_a_burst_does_not_overfill_a_node(cluster: Site) -> None:
    for name in ("n1", "n2"):
        await cluster.node(name, pods="5")
    for number in range(12):
        await cluster.api.create(PODS, pod(f"p{number}"), "default")
    await cluster.settle()
    places = [where(cluster, f"p{number}") for number in range(12)]
    assert (places.count("n1"), places.count("n2"), places.count(None)) == (5, 5, 2)


@pytest.mark.parametrize("spec", [{"schedulerName": "nobody"}, {"schedulingGates": [{"name": "wait"}]}])
async def test_pods_of_others_are_left_alone(cluster: Site, spec: dict[str, object]) -> None:
    await cluster.node("n1")
    await cluster.api.create(PODS, pod("p", **spec), "default")
    await cluster.settle()
    assert where(cluster, "p") is None
    assert not events(cluster)


async def test_a_refused_binding_is_tried_again(cluster: Site) -> None:
    await cluster.node("n1", pods="1")
    cluster.api.refuse = ("create", "pods/binding", ApiError(500, "the store is slow"))
    await cluster.api.create(PODS, pod("p"), "default")
    await cluster.settle()
    assert where(cluster, "p") is None
    cluster.api.refuse = None
    await cluster.settle(2)
    assert where(cluster, "p") == "n1"


async def test_heartbeats_of_nodes_cause_no_new_attempts(cluster: Site) -> None:
    await cluster.node("n1", pods="0")
    await cluster.api.create(PODS, pod("p"), "default")
    await cluster.settle(2)
    before = cluster.writes()
    await cluster.settle(120)
    assert cluster.writes() == before


async def test_guards_that_leave_let_others_in_at_once(cluster: Site) -> None:
    await cluster.node("n1", labels={"zone": "a"})
    term = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}}
    strict = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    await cluster.api.create(PODS, pod("guard", affinity={"podAntiAffinity": strict}), "default")
    await cluster.settle()
    await cluster.api.create(PODS, pod("web", labels={"app": "web"}), "default")
    await cluster.settle()
    assert where(cluster, "web") is None
    await cluster.api.delete(PODS, "guard", "default", options={"gracePeriodSeconds": 0})
    await cluster.settle()
    assert where(cluster, "web") == "n1"


async def test_room_that_was_made_is_remembered_by_the_next_scheduler(cluster: Site) -> None:
    first = pod("high", priority=10)
    first["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1500m"}}
    first["status"]["nominatedNodeName"] = "n1"
    first["spec"]["schedulerName"] = "none-yet"
    await cluster.api.create(PODS, first, "default")
    late = pod("late", priority=0)
    late["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1"}}
    await cluster.api.create(PODS, late, "default")
    await cluster.settle()
    await cluster.api.patch(PODS, "high", {"spec": {"schedulerName": "default-scheduler"}}, "default")
    await cluster.node("n1")
    await cluster.settle()
    assert (where(cluster, "high"), where(cluster, "late")) == ("n1", None)


async def test_victims_are_removed_once_however_often_the_pod_is_looked_at(cluster: Site) -> None:
    await cluster.node("n1", cpu="1")
    low, high = pod("low"), pod("high", priority=10)
    for made, cpu in ((low, "700m"), (high, "800m")):
        made["spec"]["containers"][0]["resources"] = {"requests": {"cpu": cpu}}
    await cluster.api.create(PODS, low, "default")
    await cluster.settle()
    await cluster.api.create(PODS, high, "default")
    await cluster.settle()
    for number in range(3):
        await cluster.node(f"x{number}", cpu="4", taints=[{"key": "a", "effect": "NoSchedule"}])
        await cluster.settle(2)
    reasons = list(events(cluster).values())
    assert reasons.count("Preempted") == 1
    assert [call for call in cluster.writes() if call[:2] == ("delete", "pods")] == [
        ("delete", "pods", "low")
    ]
    await cluster.api.delete(PODS, "low", "default", options={"gracePeriodSeconds": 0})
    await cluster.settle()
    assert where(cluster, "high") == "n1"


async def test_an_eviction_that_fails_is_tried_again(cluster: Site) -> None:
    await cluster.node("n1", cpu="1")
    low, high = pod("low"), pod("high", priority=10)
    for made in (low, high):
        made["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "800m"}}
    await cluster.api.create(PODS, low, "default")
    await cluster.settle()
    cluster.api.refuse = ("delete", "pods", ApiError(500, "the store is slow"))
    await cluster.api.create(PODS, high, "default")
    await cluster.settle()
    assert not is_deleting(cluster.api.one(PODS, "low"))
    cluster.api.refuse = None
    await cluster.settle(2)
    assert is_deleting(cluster.api.one(PODS, "low"))


async def test_placed_pods_stay_when_their_node_goes_silent_or_becomes_too_small(cluster: Site) -> None:
    await cluster.node("n1")
    await cluster.api.create(PODS, pod("p"), "default")
    await cluster.settle()
    taint = {"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}
    await cluster.api.patch(NODES, "n1", {"spec": {"taints": [taint], "unschedulable": True}})
    await cluster.api.patch(NODES, "n1", {"status": {"allocatable": {"pods": "0"}}}, subresource="status")
    await cluster.settle(60)
    assert where(cluster, "p") == "n1"
    assert not [call for call in cluster.writes() if call[0] == "delete"]


async def test_the_most_important_is_served_first(cluster: Site) -> None:
    for name, priority in (("low", 1), ("high", 9), ("mid", 5)):
        await cluster.api.create(PODS, pod(name, priority=priority, preemptionPolicy="Never"), "default")
    await cluster.settle()
    await cluster.node("n1", pods="2")
    await cluster.settle()
    assert [where(cluster, name) for name in ("low", "mid", "high")] == [None, "n1", "n1"]
