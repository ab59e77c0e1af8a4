"""Devices go down to their node, and what they report comes up, complete and once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.cloudcore.cloud import Cloud, Edge, eventually, running

from edgelab.kube.interface import Obj
from edgelab.kube.resources import DEVICE_MODELS, DEVICE_STATUSES, DEVICES
from edgelab.objects.devices import SPOOL
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    async with running(tmp_path) as found:
        await found.node()
        await found.api.create(
            DEVICE_MODELS, {"metadata": {"name": "thermo"}, "spec": {"properties": []}}, "default"
        )
        yield found


async def device(cloud: Cloud, name: str = "d1", node: str = "edge1", model: str = "thermo") -> Obj:
    properties = [{"name": "temperature"}, {"name": "humidity"}]
    spec = {"nodeName": node, "deviceModelRef": {"name": model}, "properties": properties}
    return await cloud.api.create(DEVICES, {"metadata": {"name": name}, "spec": spec}, "default")


def status(cloud: Cloud, name: str = "d1") -> Obj:
    found: Obj = cloud.api.one(DEVICE_STATUSES, name).get("status") or {}
    return found


async def report(edge: Edge, moment: int, name: str = "d1", **values: str) -> Message:
    twin = {
        key: {
            "actual": {"value": value, "metadata": {"timestamp": moment}},
            "optional": True,
            "metadata": {"type": "string"},
            "actual_version": {"cloud": 0, "edge": 1},
        }
        for key, value in values.items()
    }
    message = wire.new(
        source="twin",
        group="resource",
        operation="update",
        resource=f"device/default/{name}/twin/edge_updated",
        content={"event_id": "", "timestamp": moment, "twin": twin},
    )
    await edge.send(message)
    return message


async def confirmed(edge: Edge, message: Message) -> Message:
    return await edge.wait(lambda m: m.parent_id == message.id)


async def test_a_device_comes_with_its_membership_and_its_model_first(cloud: Cloud) -> None:
    edge = await cloud.join()
    await device(cloud)
    await edge.pushed("default/device/d1", "insert")
    order = [m.route.resource for m in edge.received if m.route.source == "devicecontroller"]
    assert order == ["membership", "default/devicemodel/thermo", "default/device/d1"]
    membership = await edge.pushed("membership", "update")
    assert membership.route.group == "twin"
    assert membership.object()["added_devices"] == [{"id": "default/d1", "name": "d1"}]
    assert membership.object()["removed_devices"] is None
    await edge.close()


async def test_the_membership_names_the_spool_for_reports_that_come_before_the_object(cloud: Cloud) -> None:
    edge = await cloud.join()
    metadata = {"name": "d1", "annotations": {SPOOL: "60"}}
    await cloud.api.create(DEVICES, {"metadata": metadata, "spec": {"nodeName": "edge1"}}, "default")
    membership = await edge.pushed("membership", "update")
    assert membership.object()["added_devices"] == [{"id": "default/d1", "name": "d1", "spool": 60}]
    await edge.close()


async def test_every_device_has_a_status_owned_by_it_that_names_its_node(cloud: Cloud) -> None:
    made = await device(cloud)
    await eventually(lambda: bool(cloud.api.all(DEVICE_STATUSES)))
    metadata = cloud.api.one(DEVICE_STATUSES, "d1")["metadata"]
    assert metadata["labels"] == {"edgelab.io/node": "edge1"}
    owner = metadata["ownerReferences"][0]
    assert owner["uid"] == made["metadata"]["uid"]
    assert (owner["kind"], owner["controller"], owner["blockOwnerDeletion"]) == ("Device", True, True)


async def test_the_first_report_of_a_property_is_kept(cloud: Cloud) -> None:
    edge = await cloud.join()
    await device(cloud)
    answer = await confirmed(edge, await report(edge, 1000, temperature="21.5"))
    assert (answer.route.group, answer.route.resource, answer.value()) == ("twin", "twin", "OK")
    assert status(cloud)["twins"] == [
        {
            "propertyName": "temperature",
            "reported": {"value": "21.5", "metadata": {"timestamp": "1000", "type": "string"}},
            "observedDesired": {"value": ""},
        }
    ]
    await edge.close()


async def test_reports_of_different_properties_and_states_add_up(cloud: Cloud) -> None:
    edge = await cloud.join()
    await device(cloud)
    await confirmed(edge, await report(edge, 1, humidity="40", unknown="x"))
    await confirmed(edge, await report(edge, 2, temperature="20"))
    state = '{"event_id":"","timestamp":1,"Device":{"name":"d1","state":"online","lastOnlineTime":"t1"}}'
    await edge.ask("device/default/d1/state/update", "update", state, source="twin")
    offline = '{"device":{"name":"d1","state":"offline","lastOnlineTime":""}}'
    await edge.ask("device/default/d1/state/update", "update", offline, source="twin")
    found = status(cloud)
    assert [(t["propertyName"], t["reported"]["value"]) for t in found["twins"]] == [
        ("temperature", "20"),
        ("humidity", "40"),
    ]
    assert (found["state"], found["lastOnlineTime"]) == ("offline", "t1")
    await edge.close()


async def test_many_reports_become_few_writes_and_each_is_confirmed(cloud: Cloud) -> None:
    edge = await cloud.join()
    await device(cloud)
    await eventually(lambda: bool(cloud.api.all(DEVICE_STATUSES)))
    write = cloud.api.patch

    async def slowly(*arguments: Any, **more: Any) -> Obj:
        await asyncio.sleep(0.05)
        return await write(*arguments, **more)

    cloud.api.patch = slowly  # type: ignore[method-assign] # the API takes its time
    before = len(cloud.api.calls)
    sent = [await report(edge, number, temperature=str(number)) for number in range(40)]
    for message in sent:
        await confirmed(edge, message)
    writes = [call for call in cloud.api.calls[before:] if call[1] == "devicestatuses"]
    assert len(writes) < 20
    assert status(cloud)["twins"][0]["reported"]["value"] == "39"
    await edge.close()


async def test_a_report_that_could_not_be_written_is_written_later_and_confirmed_then(cloud: Cloud) -> None:
    edge = await cloud.join()
    await device(cloud)
    await eventually(lambda: bool(cloud.api.all(DEVICE_STATUSES)))
    cloud.api.broken = "devicestatuses"
    message = await report(edge, 5, temperature="30")
    await asyncio.sleep(0.1)
    assert not [m for m in edge.received if m.parent_id == message.id]
    cloud.api.broken = ""
    await confirmed(edge, message)
    assert status(cloud)["twins"][0]["reported"]["value"] == "30"
    await edge.close()


async def test_a_node_cannot_report_for_the_device_of_another(cloud: Cloud) -> None:
    await device(cloud)
    await eventually(lambda: bool(cloud.api.all(DEVICE_STATUSES)))
    stranger = await cloud.join("edge2")
    await confirmed(stranger, await report(stranger, 1, temperature="99"))
    assert "twins" not in status(cloud)
    await stranger.close()


async def test_a_node_that_asks_is_told_all_its_devices(cloud: Cloud) -> None:
    await device(cloud)
    await device(cloud, "d2", "edge2")
    edge = await cloud.join()
    question = wire.new(
        source="twin", group="resource", operation="get", resource="membership/detail", content="{}"
    )
    await edge.send(question)
    answer = await edge.wait(lambda m: m.route.resource == "membership/detail")
    assert answer.object()["devices"] == [{"id": "default/d1", "name": "d1"}]
    assert (answer.route.source, answer.route.group, answer.parent_id) == ("devicecontroller", "twin", "")
    await edge.close()


async def test_a_moved_device_leaves_one_node_and_joins_the_other(cloud: Cloud) -> None:
    await cloud.node("edge2")
    await device(cloud)
    old, new = await cloud.join(), await cloud.join("edge2")
    await old.pushed("default/device/d1", "insert")
    await cloud.api.patch(DEVICES, "d1", {"spec": {"nodeName": "edge2"}}, "default")
    removed = await old.wait(
        lambda m: m.route.resource == "membership" and bool(m.object()["removed_devices"])
    )
    assert removed.object()["removed_devices"] == [{"id": "default/d1", "name": "d1"}]
    await old.pushed("default/devicemodel/thermo", "delete")
    await old.pushed("default/device/d1", "delete")
    await new.pushed("default/devicemodel/thermo", "insert")
    await new.pushed("default/device/d1", "insert")
    labels = lambda: cloud.api.one(DEVICE_STATUSES, "d1")["metadata"]["labels"]  # noqa: E731 - read twice
    await eventually(lambda: labels() == {"edgelab.io/node": "edge2"})
    await old.close()
    await new.close()


async def test_a_model_stays_while_another_device_needs_it(cloud: Cloud) -> None:
    edge = await cloud.join()
    for name in ("d1", "d2"):
        await device(cloud, name)
        await edge.pushed(f"default/device/{name}", "insert")
    await cloud.api.delete(DEVICES, "d1", "default")
    await edge.pushed("default/device/d1", "delete")
    assert not [
        m for m in edge.received if m.route.resource.endswith("thermo") and m.route.operation == "delete"
    ]
    await cloud.api.delete(DEVICES, "d2", "default")
    await edge.pushed("default/devicemodel/thermo", "delete")
    await edge.close()


async def test_an_edited_model_goes_to_every_node_that_has_a_device_of_it_and_to_no_other(
    cloud: Cloud,
) -> None:
    edges = []
    for node in ("edge1", "edge2", "edge3"):
        if node != "edge1":
            await cloud.node(node)
        edges.append(await cloud.join(node))
    await device(cloud, "d1", "edge1")
    await device(cloud, "d2", "edge2")
    await device(cloud, "d3", "edge3", model="other")
    for edge, name in zip(edges, ("d1", "d2", "d3"), strict=True):
        await edge.pushed(f"default/device/{name}", "insert")
    edited = {"spec": {"properties": [{"name": "temperature", "maximum": "5"}]}}
    await cloud.api.patch(DEVICE_MODELS, "thermo", edited, "default")
    for edge in edges[:2]:
        model = await edge.pushed("default/devicemodel/thermo", "update")
        assert model.object()["spec"] == edited["spec"]
    await cloud.api.patch(DEVICES, "d3", {"spec": {"properties": []}}, "default")
    await edges[2].pushed("default/device/d3", "update")  # whatever was on its way is there now
    assert not [m for m in edges[2].received if m.route.resource.endswith("devicemodel/thermo")]
    for edge in edges:
        await edge.close()


async def test_an_edited_wish_reaches_the_node_inside_the_device(cloud: Cloud) -> None:
    edge = await cloud.join()
    await device(cloud)
    await edge.pushed("default/device/d1", "insert")
    wish = [{"name": "temperature", "desired": {"value": "21"}}]
    await cloud.api.patch(DEVICES, "d1", {"spec": {"properties": wish}}, "default")
    assert (await edge.pushed("default/device/d1", "update")).object()["spec"]["properties"] == wish
    assert not [m for m in edge.received if "twin/" in m.route.resource]
    await edge.close()


async def test_a_device_without_a_model_is_sent_and_harms_nothing(cloud: Cloud) -> None:
    edge = await cloud.join()
    await cloud.api.create(DEVICES, {"metadata": {"name": "bare"}, "spec": {"nodeName": "edge1"}}, "default")
    await edge.pushed("default/device/bare", "insert")
    await edge.close()


async def test_a_device_deleted_while_its_node_is_away_is_removed_when_it_is_back(cloud: Cloud) -> None:
    edge = await cloud.join()
    await device(cloud)
    await edge.pushed("default/device/d1", "insert")
    await eventually(
        lambda: any(
            o["spec"]["objectKind"] == "Device"
            and o.get("status", {}).get("objectResourceVersion", "0") != "0"
            for bucket in cloud.api.objects.values()
            for o in bucket.values()
            if o["kind"] == "ObjectSync"
        )
    )
    await edge.close()
    await cloud.api.delete(DEVICES, "d1", "default")
    back = await cloud.join()
    deleted = await back.pushed("default/device/d1", "delete")
    assert deleted.route.source == "devicecontroller"
    removal = await back.wait(lambda m: m.route.resource == "membership")
    assert removal.object()["removed_devices"] == [{"id": "default/d1", "name": "d1"}]
    await back.close()
