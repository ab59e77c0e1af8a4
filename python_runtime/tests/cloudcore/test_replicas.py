"""Several CloudCores on one API: a node belongs to one of them, moves, and loses nothing on the way."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.cloudcore.cloud import Api, Cloud, Edge, eventually, running
from tests.cloudcore.test_complaints import HandClock

from edgelab.cloudcore.cloudhub.complaints import Complaints
from edgelab.cloudcore.cloudhub.ownership import Ownership, lease_name
from edgelab.cloudcore.cloudhub.replicas import FORGET_SECONDS, LABEL, LIFE_SECONDS, Replicas
from edgelab.cloudcore.environment import replica_id
from edgelab.kube.informer import Informer
from edgelab.kube.resources import LEASES, NODES, OBJECT_SYNCS, PODS
from edgelab.settings.cloudcore import CloudCore

NAMESPACE = "kubeedge"


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Cloud, Cloud]]:
    """Two CloudCores, a and b, and one directory of certificates, as both have one authority."""
    api = Api()
    async with running(tmp_path, api, replica="a") as a, running(tmp_path, api, replica="b") as b:
        await a.node()
        yield a, b


def holder(api: Api, node: str = "edge1") -> str:
    with contextlib.suppress(Exception):
        return str(api.one(LEASES, lease_name(node), NAMESPACE)["spec"]["holderIdentity"])
    return ""


def recorded(api: Api, pod: dict[str, Any]) -> str | None:
    name = f"edge1.{pod['metadata']['uid']}"
    syncs = [sync for sync in api.all(OBJECT_SYNCS) if sync["metadata"]["name"] == name]
    return str((syncs[0].get("status") or {}).get("objectResourceVersion")) if syncs else None


async def settled(api: Api, pod: dict[str, Any]) -> None:
    await eventually(
        lambda: recorded(api, pod) == api.one(PODS, pod["metadata"]["name"])["metadata"]["resourceVersion"]
    )


def pushes(edge: Edge, name: str) -> list[tuple[str, str]]:
    return [
        (m.route.operation, m.header.resourceversion)
        for m in edge.received
        if m.route.resource == f"default/pod/{name}"
    ]


async def test_the_cloudcore_that_a_node_connects_to_takes_it_over(pair: tuple[Cloud, Cloud]) -> None:
    a, b = pair
    old = await a.join()
    await eventually(lambda: holder(a.api) == "a")
    new = await b.dial()
    await old.closed()
    assert old.connection is not None
    assert (old.connection.close_code, old.connection.close_reason) == (
        1001,
        "CloudCore b has taken the node over",
    )
    assert holder(a.api) == "b"
    assert a.api.one(LEASES, lease_name("edge1"), NAMESPACE)["spec"]["leaseTransitions"] == 1
    pod = await a.pod()
    await settled(a.api, pod)
    assert len(pushes(new, "web")) == 1
    assert pushes(old, "web") == []
    creates = [call for call in a.api.calls if call[:2] == ("create", "objectsyncs")]
    assert len(creates) == 1, "only the one that has the node records for it"
    await new.close()


async def test_a_node_that_moves_back_and_forth_loses_nothing(pair: tuple[Cloud, Cloud]) -> None:
    api = pair[0].api
    pods: dict[str, dict[str, Any]] = {}
    have: dict[str, str] = {}
    edge: Edge | None = None
    for turn in range(6):
        here = pair[turn % 2]
        before, edge = edge, await here.join()
        if before is not None:
            await before.closed()
        await eventually(lambda here=here: holder(api) == here.settings.edgelab.replica)
        pods[f"p{turn}"] = await here.pod(f"p{turn}")
        if turn:
            await api.patch(PODS, f"p{turn - 1}", {"metadata": {"labels": {"turn": str(turn)}}}, "default")
        if turn > 1:
            await api.delete(PODS, f"p{turn - 2}", "default", options={"gracePeriodSeconds": 0})
            gone = pods.pop(f"p{turn - 2}")
            await edge.pushed(f"default/pod/p{turn - 2}", "delete")
            await eventually(lambda gone=gone: recorded(api, gone) is None)
        for pod in pods.values():
            await settled(api, pod)
        for name in pods:
            for _, version in pushes(edge, name):
                assert have.get(name) != version or not version, f"{name} {version} was sent twice"
                have[name] = version
            assert have[name] == api.one(PODS, name)["metadata"]["resourceVersion"]
    assert len(api.all(OBJECT_SYNCS)) == len(pods)
    assert edge is not None
    await edge.close()


async def test_what_changes_while_a_node_is_away_is_brought_by_whoever_gets_it(
    pair: tuple[Cloud, Cloud],
) -> None:
    a, b = pair
    edge = await a.join()
    pods = [await a.pod(name) for name in ("same", "changed", "deleted")]
    for pod in pods:
        await settled(a.api, pod)
    await edge.close()
    await a.api.patch(PODS, "changed", {"metadata": {"labels": {"new": "label"}}}, "default")
    await a.api.delete(PODS, "deleted", "default", options={"gracePeriodSeconds": 0})
    await a.pod("new")
    there = await b.dial()
    await there.wait(lambda m: m.route.resource == "default/pod/changed")
    await there.pushed("default/pod/deleted", "delete")
    await there.pushed("default/pod/new", "insert")
    for name in ("same", "changed", "new"):
        await settled(a.api, a.api.one(PODS, name))
    assert pushes(there, "same") == []
    await there.close()
    await a.api.delete(PODS, "new", "default", options={"gracePeriodSeconds": 0})
    back = await a.dial()
    await back.pushed("default/pod/new", "delete")
    await asyncio.sleep(0.1)
    assert pushes(back, "same") == []
    assert pushes(back, "changed") == []
    await back.close()


async def test_a_node_that_joins_anew_through_another_cloudcore_gets_everything_again(
    pair: tuple[Cloud, Cloud],
) -> None:
    a, b = pair
    edge = await a.join()
    pod = await a.pod()
    await settled(a.api, pod)
    a.request().cert_file.unlink()
    await b.enrol()  # a new machine of the name, while the old one's connection is still there
    await eventually(lambda: recorded(a.api, pod) == "0" or len(pushes(edge, "web")) > 1)
    again = await a.dial()
    await edge.closed()
    await again.wait(lambda m: m.route.resource == "default/pod/web")
    await settled(a.api, pod)
    await again.close()


async def test_a_cloudcore_that_ends_leaves_its_nodes_to_the_other(tmp_path: Path) -> None:
    api = Api()
    async with running(tmp_path, api, replica="b") as b:
        async with running(tmp_path, api, replica="a") as a:
            await a.node()
            edge = await a.join()
            await eventually(lambda: holder(api) == "a")
        await edge.closed()
        assert [lease["metadata"]["name"] for lease in api.all(LEASES, NAMESPACE)] == [
            "cloudcore-node-edge1",
            "cloudcore-replica-b",
        ]
        pod = await b.pod()
        await eventually(lambda: recorded(api, pod) is not None)  # nobody else would record it
        back = await b.dial()
        await back.pushed("default/pod/web", "insert")
        await back.close()


async def test_a_deleted_node_leaves_no_lease(pair: tuple[Cloud, Cloud]) -> None:
    a, _ = pair
    edge = await a.join()
    await eventually(lambda: holder(a.api) == "a")
    await a.api.delete(NODES, "edge1")
    await edge.closed()
    await eventually(lambda: not holder(a.api))


class Hub:
    """Sessions as Ownership sees them."""

    def __init__(self) -> None:
        self.nodes: set[str] = set()
        self.yielded: list[tuple[str, str]] = []

    def connected(self, node: str) -> bool:
        return node in self.nodes

    def yield_to(self, node: str, replica: str) -> None:
        self.yielded.append((node, replica))
        self.nodes.discard(node)


@dataclasses.dataclass
class Desk:
    """One CloudCore's part in sharing nodes."""

    hub: Hub
    replicas: Replicas
    ownership: Ownership

    def connect(self, node: str) -> None:
        self.hub.nodes.add(node)
        self.ownership.claim(node)


@contextlib.asynccontextmanager
async def desk(api: Api, me: str, clock: HandClock, *, alone_seconds: float = 0.01) -> AsyncIterator[Desk]:
    hub = Hub()
    replicas = Replicas(api, Complaints(), namespace=NAMESPACE, me=me, clock=clock)
    ownership = Ownership(api, hub, replicas, namespace=NAMESPACE, alone_seconds=alone_seconds)
    leases = Informer(api, LEASES, NAMESPACE, label_selector=LABEL)
    nodes = Informer(api, NODES)
    tasks = [asyncio.create_task(module.run()) for module in (leases, nodes, ownership)]
    await leases.wait_synced()
    replicas.follow(leases)
    ownership.follow(leases, nodes)
    try:
        yield Desk(hub, replicas, ownership)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_thousand_nodes_cost_a_write_each_when_they_come_and_none_when_they_come_back() -> None:
    api = Api()
    async with desk(api, "a", HandClock()) as one:
        for number in range(1000):
            one.connect(f"edge{number}")
        await eventually(lambda: one.ownership.counts() == {"a": 1000})
        await eventually(lambda: len(api.calls) == 1000)
        for number in range(1000):
            one.connect(f"edge{number}")
        await one.replicas.renew()
        assert len(api.calls) <= 1002
    async with desk(api, "a", HandClock()) as restarted:
        before = len(api.calls)
        for number in range(1000):
            restarted.connect(f"edge{number}")
        await asyncio.sleep(0.05)
        assert len(api.calls) == before


async def test_the_only_cloudcore_claims_its_nodes_later_and_at_once_when_another_one_shows_up() -> None:
    api = Api()
    async with desk(api, "a", HandClock(), alone_seconds=3600) as a, desk(api, "b", HandClock()) as b:
        a.connect("edge1")
        await a.replicas.renew()
        await asyncio.sleep(0.05)
        assert not holder(api)
        await b.replicas.renew()
        await eventually(lambda: b.ownership.elsewhere("edge1"))


async def test_claims_that_meet_leave_one_owner() -> None:
    api = Api()
    async with desk(api, "a", HandClock()) as a, desk(api, "b", HandClock()) as b:
        for number in range(50):
            for one in (a, b) if number % 2 else (b, a):
                one.connect(f"edge{number}")
        await eventually(lambda: sum(a.ownership.counts().values()) == 50)
        await eventually(lambda: not a.hub.nodes & b.hub.nodes)
        await eventually(lambda: len(a.hub.nodes | b.hub.nodes) == 50)
        for one in (a, b):
            for node in one.hub.nodes:
                assert holder(api, node) == one.replicas.me


async def test_a_cloudcore_counts_as_gone_when_its_lease_does_not_change() -> None:
    api, clock, other = Api(), HandClock(), HandClock()
    async with desk(api, "a", clock) as a, desk(api, "b", other) as b:
        await b.replicas.renew()
        b.connect("edge1")
        await eventually(lambda: a.ownership.elsewhere("edge1"))
        assert a.replicas.alive() == ["a", "b"]
        clock.seconds += LIFE_SECONDS
        assert not a.ownership.elsewhere("edge1")
        assert a.ownership.holder("edge1") == "b"
        other.seconds += 5
        await b.replicas.renew()
        await eventually(lambda: a.ownership.elsewhere("edge1"))
        clock.seconds += FORGET_SECONDS + 1
        await a.replicas._turn()
        names = [lease["metadata"]["name"] for lease in api.all(LEASES, NAMESPACE)]
        assert names == ["cloudcore-node-edge1", "cloudcore-replica-a"]


async def test_two_cloudcores_of_one_name_are_told_so(caplog: pytest.LogCaptureFixture) -> None:
    api = Api()
    async with desk(api, "a", HandClock()) as one, desk(api, "a", HandClock()) as two:
        await one.replicas.renew()
        await asyncio.sleep(0.05)
        assert not caplog.records, "one that ran before is no rival"
        await two.replicas.renew()
        await eventually(lambda: any("edgelab.replica" in r.getMessage() for r in caplog.records))
        assert all(record.levelno == logging.WARNING for record in caplog.records)


async def test_an_unreachable_api_is_told_once_and_again_when_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    api = Api()
    replicas = Replicas(api, Complaints(), namespace=NAMESPACE, me="a")
    api.broken = "leases"
    await replicas._turn()
    await replicas._turn()
    api.broken = ""
    await replicas._turn()
    assert len(caplog.records) == 2


@pytest.mark.parametrize(
    ("wanted", "name"),
    [("cloud-1", "cloud-1"), ("Cloud_1.example.", "cloud-1.example"), ("___", "cloudcore")],
)
def test_a_replica_is_called_what_the_file_says_as_far_as_an_object_can_be(wanted: str, name: str) -> None:
    settings = CloudCore()
    settings.edgelab.replica = wanted
    assert replica_id(settings) == name


def test_a_node_with_a_long_name_has_a_lease_too() -> None:
    longest = "n" * 253
    assert len(lease_name(longest)) < 254
    assert lease_name(longest) != lease_name("n" * 252)
