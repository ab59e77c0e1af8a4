"""How reports become a DeviceStatus: versions, silence, and what older releases left. No network."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.cloudcore.cloud import Api, eventually
from tests.cloudcore.test_complaints import HandClock

from edgelab.cloudcore.cluster import DEVICE_KINDS, Cluster
from edgelab.cloudcore.devicecontroller.downstream import Downstream
from edgelab.cloudcore.devicecontroller.upstream import Upstream
from edgelab.kube.interface import Obj
from edgelab.kube.resources import DEVICE_STATUSES, DEVICES
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message
from edgelab.protocol.session.delivery import Delivery


class Courier:
    """CloudHub without nodes: what is confirmed is remembered."""

    def __init__(self) -> None:
        self.confirmed: list[str] = []

    def send(self, node: str, message: Message) -> None:
        self.confirmed.append(message.parent_id)

    def push(self, node: str, delivery: Delivery) -> None:
        pass

    def connected(self, node: str) -> bool:
        return True

    known = connected

    def holders(self, uid: str) -> list[str]:
        return []

    def disconnect(self, node: str, reason: str) -> None:
        pass


class World:
    """The part of DeviceController that writes."""

    def __init__(self) -> None:
        self.api, self.courier, self.clock = Api(), Courier(), HandClock()
        self.cluster = Cluster(self.api, DEVICE_KINDS)
        self.mine = True
        downstream = Downstream(self.cluster, self.courier)
        self.upstream = Upstream(
            self.api, self.cluster, self.courier, downstream, mine=lambda _: self.mine, clock=self.clock
        )

    async def device(self, *, status: Obj | None = None, **annotations: str) -> None:
        metadata = {"name": "d1", "annotations": {f"edgelab.io/{k}": v for k, v in annotations.items()}}
        spec = {"nodeName": "edge1", "properties": [{"name": "t"}, {"name": "h"}]}
        body = {"metadata": metadata, "spec": spec, **({"status": status} if status else {})}
        await self.api.create(DEVICES, body, "default")
        await eventually(lambda: bool(self.api.all(DEVICE_STATUSES)))
        await eventually(lambda: ("default", "d1") in self.cluster[DEVICE_STATUSES].store)

    async def report(self, what: str, content: Any) -> None:
        """Until it is confirmed."""
        message = wire.new(
            source="twin",
            group="resource",
            operation="update",
            resource=f"device/default/d1/{what}",
            content=content,
        )
        await self.upstream.handle("edge1", message)
        await eventually(lambda: message.id in self.courier.confirmed)

    async def twin(self, moment: int, **values: str) -> None:
        halves = {k: {"actual": {"value": v, "metadata": {"timestamp": moment}}} for k, v in values.items()}
        await self.report("twin/edge_updated", {"twin": halves})

    async def state(self, state: str, moment: str) -> None:
        await self.report("state/update", {"device": {"state": state, "lastOnlineTime": moment}})

    @property
    def status(self) -> Obj:
        found: Obj = self.api.one(DEVICE_STATUSES, "d1").get("status") or {}
        return found

    async def wait_in_silence(self, seconds: float) -> None:
        self.clock.seconds += seconds
        self.upstream.silence.look()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    tasks = [asyncio.create_task(module.run()) for module in (world.cluster, world.upstream)]
    await world.cluster.wait_synced()
    world.upstream.start()
    yield world
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def values(status: Obj, half: str = "reported") -> dict[str, str]:
    return {twin["propertyName"]: twin[half]["value"] for twin in status["twins"]}


async def test_what_another_writer_wrote_meanwhile_is_not_lost(world: World) -> None:
    await world.device()
    await world.twin(1, t="20")
    patch = world.api.patch

    async def late(*arguments: Any, **more: Any) -> Obj:
        world.api.patch = patch  # type: ignore[method-assign] # once
        other = [{"propertyName": "h", "reported": {"value": "40"}, "observedDesired": {"value": "45"}}]
        await patch(DEVICE_STATUSES, "d1", {"status": {"twins": other, "extensions": {"mine": 1}}}, "default")
        return await patch(*arguments, **more)

    world.api.patch = late  # type: ignore[method-assign] # somebody is faster
    await world.twin(2, t="21")
    assert values(world.status) == {"t": "21", "h": "40"}
    assert values(world.status, "observedDesired") == {"t": "", "h": "45"}
    assert world.status["extensions"] == {"mine": 1}


async def test_each_half_is_kept_that_a_report_says_nothing_of(world: World) -> None:
    await world.device()
    await world.report("twin/edge_updated", {"twin": {"t": {"expected": {"value": "25"}}}})
    await world.twin(1, t="20")
    assert (values(world.status), values(world.status, "observedDesired")) == ({"t": "20"}, {"t": "25"})


async def test_a_deleted_status_is_made_again_by_the_next_report(world: World) -> None:
    await world.device()
    await world.api.delete(DEVICE_STATUSES, "d1", "default")
    await world.twin(1, t="20")
    assert values(world.status) == {"t": "20"}


async def test_values_of_releases_before_1_23_are_taken_over(world: World) -> None:
    twins = [{"propertyName": "t", "reported": {"value": "19"}, "observedDesired": {"value": ""}}]
    await world.device(status={"twins": twins, "state": "online", "reportToCloud": True})
    assert world.status == {"twins": twins, "state": "online"}


async def test_a_silent_device_is_offline_until_it_says_something(world: World) -> None:
    await world.device(**{"offline-after": "90s"})
    await world.state("online", "t1")
    await world.wait_in_silence(89)
    await world.twin(1, t="20")
    await world.wait_in_silence(89)
    assert world.status["state"] == "online"
    await world.wait_in_silence(1)
    await eventually(lambda: world.status["state"] == "offline")
    assert world.status["extensions"] == {"edgelab.io/silentSince": "2026-01-01T00:02:59Z"}
    assert world.status["lastOnlineTime"] == "t1"
    await world.twin(2, t="20")
    assert (world.status["state"], world.status["extensions"]) == ("online", {})


async def test_an_edge_that_starts_again_does_not_make_a_silent_device_speak(world: World) -> None:
    await world.device(**{"offline-after": "1m"})
    await world.state("online", "t1")
    await world.twin(1, t="20")
    await world.wait_in_silence(60)
    await eventually(lambda: world.status["state"] == "offline")
    await world.twin(1, t="20")
    await world.state("online", "t1")
    assert world.status["state"] == "offline"
    await world.state("ok", "t2")
    assert (world.status["state"], world.status["lastOnlineTime"]) == ("ok", "t2")


@pytest.mark.parametrize("annotation", ["", "soon", "0s"])
async def test_without_a_time_that_can_be_read_nothing_is_judged(world: World, annotation: str) -> None:
    await world.device(**({"offline-after": annotation} if annotation else {}))
    await world.twin(1, t="20")
    writes = len(world.api.calls)
    await world.wait_in_silence(1e6)
    await world.twin(2, t="21")
    assert "state" not in world.status
    assert len(world.api.calls) <= writes + 2


async def test_a_node_of_another_cloudcore_is_judged_there(world: World) -> None:
    await world.device(**{"offline-after": "1m"})
    world.mine = False
    await world.wait_in_silence(60)
    await world.twin(1, t="20")
    assert "state" not in world.status
