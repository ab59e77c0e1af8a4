from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.edgesite.manifests import pod
from tests.edgesite.site import Site, site

from edgelab.kube.interface import Obj
from edgelab.kube.resources import EVENTS, NODES, PODS
from edgelab.objects.metadata import condition, is_deleting

UNREACHABLE = "node.kubernetes.io/unreachable"
FOR_EVER = {"key": UNREACHABLE, "operator": "Exists", "effect": "NoExecute"}


@pytest.fixture
async def cluster() -> AsyncIterator[Site]:
    async with site() as made:
        await made.node("edge")
        await made.node("other")
        yield made


def taints(cluster: Site, node: str = "edge") -> set[tuple[str, str]]:
    found = cluster.api.one(NODES, node)["spec"].get("taints") or []
    return {(taint["key"], taint["effect"]) for taint in found}


async def running(cluster: Site, name: str, *tolerations: dict[str, Any]) -> Obj:
    made = pod(name, nodeName="edge", tolerations=list(tolerations))
    await cluster.api.create(PODS, made, "default")
    await cluster.set_ready(cluster.api.one(PODS, name))
    await cluster.settle()
    return cluster.api.one(PODS, name)


async def test_a_silent_node_becomes_unknown_after_its_grace(cluster: Site) -> None:
    await cluster.settle(60)
    cluster.alive.discard("edge")
    await cluster.settle(45)
    assert (condition(cluster.api.one(NODES, "edge"), "Ready") or {})["status"] == "True"
    await cluster.settle(20)
    ready = condition(cluster.api.one(NODES, "edge"), "Ready")
    assert ready is not None
    assert (ready["status"], ready["reason"], ready["message"]) == (
        "Unknown",
        "NodeStatusUnknown",
        "Kubelet stopped posting node status.",
    )
    assert taints(cluster) == {(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")}
    assert not taints(cluster, "other")
    assert "Node edge status is now: NodeNotReady" in {e["message"] for e in cluster.api.all(EVENTS)}


async def test_a_node_that_comes_back_loses_its_taints(cluster: Site) -> None:
    cluster.alive.discard("edge")
    await cluster.settle(60)
    assert taints(cluster)
    conditions = [{"type": "Ready", "status": "True", "lastHeartbeatTime": cluster.stamp()}]
    await cluster.api.patch(NODES, "edge", {"status": {"conditions": conditions}}, subresource="status")
    cluster.alive.add("edge")
    await cluster.settle(60)
    assert not taints(cluster)
    assert (condition(cluster.api.one(NODES, "edge"), "Ready") or {})["status"] == "True"


async def test_an_edge_pod_that_tolerates_silence_is_not_ready_and_not_deleted(cluster: Site) -> None:
    await running(cluster, "stays", FOR_EVER)
    cluster.alive.discard("edge")
    await cluster.settle(900)
    stays = cluster.api.one(PODS, "stays")
    assert not is_deleting(stays)
    assert (condition(stays, "Ready") or {})["status"] == "False"


async def test_pods_of_a_node_that_is_heard_again_are_as_ready_as_before(cluster: Site) -> None:
    for name, containers in (("up", "True"), ("down", "False")):
        made = await running(cluster, name, FOR_EVER)
        conditions = [*made["status"]["conditions"], {"type": "ContainersReady", "status": containers}]
        patch = {"status": {"conditions": conditions}}
        await cluster.api.patch(PODS, name, patch, "default", subresource="status")
    cluster.alive.discard("edge")
    await cluster.settle(60)
    assert (condition(cluster.api.one(PODS, "up"), "Ready") or {})["status"] == "False"
    conditions = [{"type": "Ready", "status": "True", "lastHeartbeatTime": cluster.stamp()}]
    await cluster.api.patch(NODES, "edge", {"status": {"conditions": conditions}}, subresource="status")
    await cluster.settle()
    assert (condition(cluster.api.one(PODS, "up"), "Ready") or {})["status"] == "True"
    assert (condition(cluster.api.one(PODS, "down"), "Ready") or {})["status"] == "False"


async def test_a_pod_leaves_after_its_toleration_seconds(cluster: Site) -> None:
    await running(cluster, "leaves", {**FOR_EVER, "tolerationSeconds": 30})
    cluster.alive.discard("edge")
    await cluster.settle(60)
    assert taints(cluster)
    assert not is_deleting(cluster.api.one(PODS, "leaves"))
    await cluster.settle(35)
    assert is_deleting(cluster.api.one(PODS, "leaves"))
    assert "Marking for deletion Pod default/leaves" in {e["message"] for e in cluster.api.all(EVENTS)}


async def test_a_pod_stays_when_the_node_is_back_in_time(cluster: Site) -> None:
    await running(cluster, "stays", {**FOR_EVER, "tolerationSeconds": 30})
    cluster.alive.discard("edge")
    await cluster.settle(60)
    conditions = [{"type": "Ready", "status": "True", "lastHeartbeatTime": cluster.stamp()}]
    await cluster.api.patch(NODES, "edge", {"status": {"conditions": conditions}}, subresource="status")
    cluster.alive.add("edge")
    await cluster.settle(60)
    assert not is_deleting(cluster.api.one(PODS, "stays"))


async def test_nothing_is_evicted_while_no_node_is_ready(cluster: Site) -> None:
    await running(cluster, "stays", {**FOR_EVER, "tolerationSeconds": 5})
    cluster.alive.clear()
    await cluster.settle(200)
    assert taints(cluster)
    assert taints(cluster, "other")
    assert not is_deleting(cluster.api.one(PODS, "stays"))


async def test_pressure_and_cordon_become_taints_and_those_of_others_stay(cluster: Site) -> None:
    own = {"key": "mine", "effect": "NoSchedule"}
    await cluster.api.patch(NODES, "edge", {"spec": {"taints": [own], "unschedulable": True}})
    conditions = [
        {"type": "Ready", "status": "False", "lastHeartbeatTime": cluster.stamp()},
        {"type": "DiskPressure", "status": "True"},
    ]
    await cluster.api.patch(NODES, "edge", {"status": {"conditions": conditions}}, subresource="status")
    await cluster.settle()
    assert taints(cluster) == {
        ("mine", "NoSchedule"),
        ("node.kubernetes.io/not-ready", "NoSchedule"),
        ("node.kubernetes.io/not-ready", "NoExecute"),
        ("node.kubernetes.io/disk-pressure", "NoSchedule"),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
    }


async def test_heartbeats_alone_cause_no_writes(cluster: Site) -> None:
    await running(cluster, "stays", FOR_EVER)
    await cluster.settle(2)  # what a new node gets comes a moment later
    before = cluster.writes()
    await cluster.settle(300)
    assert cluster.writes() == before


async def test_a_taint_that_somebody_puts_on_evicts_at_once(cluster: Site) -> None:
    await running(cluster, "leaves", FOR_EVER)
    await running(cluster, "stays", {"operator": "Exists"})
    taint = {"key": "maintenance", "effect": "NoExecute"}
    await cluster.api.patch(NODES, "edge", {"spec": {"taints": [taint]}})
    await cluster.settle()
    assert is_deleting(cluster.api.one(PODS, "leaves"))
    assert not is_deleting(cluster.api.one(PODS, "stays"))


async def test_a_silent_node_keeps_the_order_of_its_conditions(cluster: Site) -> None:
    kinds = ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready")
    conditions = [{"type": kind, "status": "True" if kind == "Ready" else "False"} for kind in kinds]
    patch = {"status": {"conditions": conditions}}
    await cluster.api.patch(NODES, "edge", patch, subresource="status")
    cluster.alive.discard("edge")
    await cluster.settle(60)
    found = cluster.api.one(NODES, "edge")["status"]["conditions"]
    assert [(item["type"], item["status"]) for item in found] == [(kind, "Unknown") for kind in kinds]


TTL = "node.alpha.kubernetes.io/ttl"


def ttl(cluster: Site, node: str = "edge") -> str:
    return str(cluster.api.one(NODES, node)["metadata"]["annotations"][TTL])


async def many(cluster: Site, count: int) -> None:
    """So many nodes `x...` beside those of other names."""
    present = sum(1 for node in cluster.api.all(NODES) if node["metadata"]["name"].startswith("x"))
    for number in range(present, count):
        await cluster.api.create(NODES, {"metadata": {"name": f"x{number}"}, "spec": {}, "status": {}})
    await cluster.settle(2)


async def test_a_node_says_how_long_secrets_may_be_kept(cluster: Site) -> None:
    await cluster.settle(2)
    assert ttl(cluster) == "0"
    await many(cluster, 100)
    assert ttl(cluster, "x99") == "15"
    await cluster.api.patch(NODES, "edge", {"status": {"phase": ""}}, subresource="status")
    await cluster.settle(2)
    assert ttl(cluster) == "15"


async def test_nodes_that_do_not_change_are_not_written_because_others_joined(cluster: Site) -> None:
    await many(cluster, 98)
    before = cluster.api.one(NODES, "edge")["metadata"]["resourceVersion"]
    await cluster.api.create(NODES, {"metadata": {"name": "last"}, "spec": {}, "status": {}})
    await cluster.settle(5)
    assert ttl(cluster, "last") == "15"
    assert cluster.api.one(NODES, "edge")["metadata"]["resourceVersion"] == before


async def test_a_new_node_that_reports_is_written_once(cluster: Site) -> None:
    await cluster.settle(2)
    taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    await cluster.api.create(NODES, {"metadata": {"name": "new"}, "spec": {"taints": [taint]}, "status": {}})
    conditions = [{"type": "Ready", "status": "True", "lastHeartbeatTime": cluster.stamp()}]
    await cluster.api.patch(NODES, "new", {"status": {"conditions": conditions}}, subresource="status")
    cluster.alive.add("new")
    before = cluster.writes()
    await cluster.settle(3)
    assert not taints(cluster, "new")
    assert ttl(cluster, "new") == "0"
    assert [call[:2] for call in cluster.writes()[len(before) :]] == [("patch", "nodes")]


async def test_a_new_node_that_has_reported_is_not_written_because_others_joined(cluster: Site) -> None:
    await many(cluster, 97)
    taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    await cluster.api.create(NODES, {"metadata": {"name": "new"}, "spec": {"taints": [taint]}, "status": {}})
    conditions = [{"type": "Ready", "status": "True", "lastHeartbeatTime": cluster.stamp()}]
    await cluster.api.patch(NODES, "new", {"status": {"conditions": conditions}}, subresource="status")
    cluster.alive.add("new")
    await cluster.settle()
    before = cluster.api.one(NODES, "new")["metadata"]["resourceVersion"]
    await many(cluster, 99)
    assert (ttl(cluster, "x98"), ttl(cluster, "new")) == ("15", "0")
    assert cluster.api.one(NODES, "new")["metadata"]["resourceVersion"] == before
