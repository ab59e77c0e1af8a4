from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.edgesite.manifests import pod
from tests.edgesite.site import Site, site

from edgelab.kube.resources import EVENTS, NODES, PODS
from edgelab.objects.metadata import condition
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
    await cluster.settle()
    before = cluster.writes()
    await cluster.settle(120)
    assert cluster.writes() == before
