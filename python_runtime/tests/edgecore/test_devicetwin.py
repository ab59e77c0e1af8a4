"""DeviceTwin on a real store, without cloud and broker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.edgecore.twinworld import TwinWorld, device, twin_world

from edgelab.edgecore.devicetwin import requests
from edgelab.edgecore.devicetwin.intake import ANSWERED
from edgelab.edgecore.devicetwin.updates import MOST_PROPERTIES
from edgelab.edgecore.interfaces import Refused
from edgelab.edgecore.metamanager import rows
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message, now_ms
from edgelab.protocol.twin import Twin, TwinValue, TypeMetadata

BAD = {
    "empty": b"",
    "no JSON": b"{no json",
    "no UTF-8": b"\xff\xfe",
    "null": b"null",
    "a list": b"[]",
    "deep": b'{"x":' * 100_000,
    "a number for a text": b'{"event_id": 5, "twin": {}, "state": 1}',
    "a megabyte": b'{"event_id":"big","twin":{"t":{"actual":{"value":"' + b"x" * (1 << 20) + b'"}}}}',
}
RESULTS = {
    "twin/cloud_updated": "twin/update/result",
    "twin/update": "twin/update/result",
    "twin/get": "twin/get/result",
    "state/update": "state/update/result",
}


@pytest.mark.parametrize("action", RESULTS)
@pytest.mark.parametrize("kind", BAD)
async def test_a_request_that_cannot_be_read_is_answered_on_its_device_s_topic(
    tmp_path: Path, action: str, kind: str
) -> None:
    async with twin_world(tmp_path) as world:
        world.twin.device_changed(device())
        await world.ask("default/thermo", action, BAD[kind])
        answer = await world.told("default/thermo", RESULTS[action])
        assert answer["code"] == 400
        assert 0 < len(answer["reason"]) < 200
        await world.update("default/thermo", t="20")
        await world.told("default/thermo", "twin/update/document")


@pytest.mark.parametrize(
    ("action", "body", "code", "reason"),
    [
        ("twin/update", {"twin": {"n": {"actual": {"value": "x"}}}}, 400, "the value is not int or integer"),
        ("twin/update", {"twin": {"n": {"actual": {"value": 5}}}}, 400, "Expected `str | null`, got `int`"),
        ("twin/update", {"twin": {"a b": {"actual": {"value": "1"}}}}, 400, "the key of twin must only"),
        ("twin/update", {"timestamp": 1}, 400, "missing required field `twin`"),
        (
            "twin/update",
            {"twin": {f"p{i}": {} for i in range(MOST_PROPERTIES)}},
            400,
            "at most 1024 properties",
        ),
        ("state/update", {"state": "bored"}, 400, "the state must be one of offline, ok, online"),
        ("state/update", {}, 400, "missing required field `state`"),
    ],
)
async def test_a_request_that_cannot_be_carried_out_is_answered_with_its_id(
    tmp_path: Path, action: str, body: dict[str, Any], code: int, reason: str
) -> None:
    async with twin_world(tmp_path) as world:
        world.twin.device_changed(device())
        number = {"n": {"actual": {"value": "1"}, "metadata": {"type": "int"}}}
        await world.ask("default/thermo", "twin/update", {"event_id": "first", "twin": number})
        await world.ask("default/thermo", action, {"event_id": "e1", **body})
        result = RESULTS[action]
        answer = await world.told("default/thermo", result, lambda b: b["event_id"] == "e1")
        assert (answer["code"], reason in answer["reason"]) == (code, True), answer
        assert "twin" not in answer


@pytest.mark.parametrize("action", ["twin/cloud_updated", "twin/update", "twin/get", "state/update"])
async def test_an_unknown_device_is_answered_on_the_topic_that_was_asked(tmp_path: Path, action: str) -> None:
    async with twin_world(tmp_path) as world:
        for name in ("default/ghost", "ghost"):
            await world.ask(name, action, {"event_id": "g", "twin": {}, "state": "online"})
            answer = await world.told(name, RESULTS[action])
            assert (answer["event_id"], answer["code"]) == ("g", 404)


@pytest.mark.parametrize(
    "topic",
    [
        "$hw/events/device/" + "x" * 65_000 + "/twin/update",
        "$hw/events/device/default//twin/update",
        "$hw/events/device/default/thermo/twin/invented",
        "$hw/events/device/default/thermo/more/twin/update",
        "$hw/events/device",
        "$hw/events/node/" + "n" * 65_000 + "/membership/get",
        "$hw/events/node/edge1/invented/get",
        "$hw/events/device/default/th\nermo/twin/up\x01date",
    ],
    ids=range(8),
)
async def test_topics_that_mean_nothing_are_left_alone(tmp_path: Path, topic: str) -> None:
    async with twin_world(tmp_path) as world:
        world.twin.device_changed(device())
        world.broker.told.clear()
        await world.twin.from_bus(topic, b'{"twin":{"t":{"actual":{"value":"1"}}}}')
        await world.update("default/thermo", t="20")
        await world.told("default/thermo", "twin/update/document")
        assert all(topic.startswith("$hw/events/device/default/thermo/") for topic, _ in world.broker.told)


async def test_a_namespace_may_be_named_as_a_part_of_the_topic(tmp_path: Path) -> None:
    async with twin_world(tmp_path) as world:
        for namespace in ("device", "events", "hw", "e", "node", "twin"):
            obj = device("update")
            obj["metadata"]["namespace"] = namespace
            world.twin.device_changed(obj)
            await world.update(f"{namespace}/update", t=namespace)
            document = await world.told(f"{namespace}/update", "twin/update/document")
            assert document["twin"]["t"]["current"]["actual"]["value"] == namespace


async def test_a_mapper_reports_by_calls_and_is_told_what_is_not_taken(tmp_path: Path) -> None:
    async with twin_world(tmp_path) as world:
        world.twin.device_changed(device())
        number = Twin(actual=TwinValue("20"), metadata=TypeMetadata("int"))
        await world.twin.report("default/thermo", {"t": number})
        await world.twin.report_state("default/thermo", "online")
        await world.told("default/thermo", "twin/update/document")
        await world.until(lambda: world.cloud.reports("default/thermo"))
        refusals = [
            world.twin.report("default/ghost", {"t": Twin(actual=TwinValue("20"))}),
            world.twin.report("default/thermo", {"t": Twin(actual=TwinValue("warm"))}),
            world.twin.report_state("default/thermo", "bored"),
            world.twin.report_state("default/ghost", "online"),
        ]
        codes = []
        for refusal in refusals:
            with pytest.raises(Refused) as refused:
                await refusal
            codes.append(refused.value.code)
        assert codes == [404, 400, 400, 404]


async def test_a_flooding_mapper_disturbs_no_other_and_its_last_values_arrive(tmp_path: Path) -> None:
    async with twin_world(tmp_path) as world:
        for name in ("loud", "calm"):
            world.twin.device_changed(device(name))
        count = 3 * ANSWERED
        for number in range(count):
            values = {"b": str(number)} if number % 2 else {"a": str(number)}
            await world.update("default/loud", event=str(number), **values)
        await world.update("default/calm", event="calm", t="1")
        last = await world.told(
            "default/loud", "twin/update/result", lambda b: b["event_id"] == str(count - 1)
        )
        assert last["twin"]["b"]["actual"]["value"] == str(count - 1)
        results = [topic for topic, _ in world.broker.told if topic.endswith("twin/update/result")]
        assert len(results) == ANSWERED + 1
        assert "calm" in "".join(results[:3]), "the other device has waited for the flood"
        await world.until(
            lambda: (world.cloud.reports("default/loud") or [{}])[-1].get("b") == str(count - 1)
        )
        values = {
            key: value for report in world.cloud.reports("default/loud") for key, value in report.items()
        }
        assert values == {"a": str(count - 2), "b": str(count - 1)}
        (version,) = world.rows("SELECT actual_version FROM device_twin WHERE name = 'a'")
        assert version[0] == f'{{"cloud":0,"edge":{count // 2}}}', "an update was lost, not only its answer"


async def test_wanted_values_are_expected_of_the_twins_and_told_to_clients_under_both_ids(
    tmp_path: Path,
) -> None:
    async with twin_world(tmp_path) as world:
        world.twin.device_changed(device(switch="ON"))
        for name in ("default/thermo", "thermo"):
            document = await world.told(name, "twin/update/document")
            assert document["twin"]["switch"]["current"]["expected"]["value"] == "ON"
            assert (await world.told(name, "twin/update/delta"))["delta"] == {"switch": "ON"}
        await world.until(lambda: world.cloud.reports("default/thermo", "expected") == [{"switch": "ON"}])
        world.broker.told.clear()
        world.twin.device_changed(device(version=2, switch="ON"))
        await world.update("default/thermo", switch="ON")
        await world.told("default/thermo", "twin/update/document")
        assert not world.broker.on("default/thermo", "twin/update/delta")
        world.twin.device_changed(device(version=3, switch="OFF"))
        await world.told(
            "default/thermo", "twin/update/delta", lambda body: body["delta"] == {"switch": "OFF"}
        )


async def test_after_a_start_a_wish_is_not_made_again_that_the_node_has_overruled(tmp_path: Path) -> None:
    async with twin_world(tmp_path) as world:
        world.twin.device_changed(device(version=5, switch="ON"))
        await world.told("default/thermo", "twin/update/document")
        own = {"switch": {"expected": {"value": "AUTO"}}}
        await world.ask("default/thermo", "twin/update", {"event_id": "own", "twin": own})
        await world.told("default/thermo", "twin/update/result")
        await keep(world, device(version=5, switch="ON"))
    async with twin_world(tmp_path) as world:
        await world.ask("default/thermo", "twin/get", {"event_id": "q"})
        found = await world.told("default/thermo", "twin/get/result")
        assert found["twin"]["switch"]["expected"]["value"] == "AUTO"


async def keep(world: TwinWorld, obj: dict[str, Any]) -> None:
    """Store a Device as MetaManager does."""
    name = f"default/device/{obj['metadata']['name']}"
    await world.store.submit([rows.put(name, "device", requests.msgspec.json.encode(obj))])


async def test_a_device_that_was_asked_for_by_its_bare_name_is_spoken_of_in_both_forms(
    tmp_path: Path,
) -> None:
    async with twin_world(tmp_path) as world:
        world.twin.device_changed(device())
        await world.update("thermo", event="old", t="19")
        for name in ("thermo", "default/thermo"):
            assert (await world.told(name, "twin/update/result"))["event_id"] == "old"
        other = device()
        other["metadata"]["namespace"] = "elsewhere"
        world.twin.device_changed(other)
        await world.update("thermo", event="which", t="18")
        answer = await world.told("thermo", "twin/update/result", lambda body: body["event_id"] == "which")
        assert answer["code"] == 404


async def test_reports_of_an_offline_time_are_replayed_in_order_before_the_newest(tmp_path: Path) -> None:
    async with twin_world(tmp_path, connected=False) as world:
        world.twin.device_changed(device(spool="3"))
        world.twin.device_changed(device("plain"))
        for value in "12345":
            await world.update("default/thermo", event=value, t=value)
            await world.update("default/plain", event=value, t=value)
        await world.told("default/plain", "twin/update/result", lambda body: body["event_id"] == "5")
        assert world.rows("SELECT count(*) FROM edgelab_spool") == [(3,)]
        await keep(world, device(spool="3"))
    async with twin_world(tmp_path, connected=False) as world:
        await world.update("default/thermo", event="6", t="6")
        await world.told("default/thermo", "twin/update/result")
        world.cloud.switch(connected=True)
        await world.until(lambda: world.cloud.reports("default/thermo")[-1:] == [{"t": "6"}])
        await world.until(lambda: world.cloud.reports("default/plain"))
        await world.until(lambda: world.rows("SELECT count(*) FROM edgelab_spool") == [(0,)])
        await world.update("default/thermo", event="7", t="7")
        await world.until(lambda: world.cloud.reports("default/thermo")[-1:] == [{"t": "7"}])
        values = [report["t"] for report in world.cloud.reports("default/thermo")]
        assert list(dict.fromkeys(values)) == ["4", "5", "6", "7"]
        assert world.cloud.reports("default/plain") == [{"t": "5"}]
        await world.until(lambda: world.rows("SELECT count(*) FROM edgelab_spool") == [(0,)])


async def test_reports_on_a_connection_that_was_dead_are_not_lost_between(tmp_path: Path) -> None:
    """The cloud says nothing to the first one; nobody knows yet that it is gone while more are made."""
    async with twin_world(tmp_path) as world:
        world.twin.device_changed(device(spool="9"))
        world.twin.device_changed(device("plain"))
        world.cloud.silent = True
        for value in "123":
            await world.update("default/thermo", event=value, t=value)
            await world.update("default/plain", event=value, t=value)
        await world.told("default/plain", "twin/update/result", lambda body: body["event_id"] == "3")
        world.cloud.switch(connected=False)
        world.cloud.silent = False
        world.cloud.switch(connected=True)
        await world.until(lambda: world.cloud.reports("default/thermo")[-1:] == [{"t": "3"}])
        values = [report["t"] for report in world.cloud.reports("default/thermo")]
        assert list(dict.fromkeys(values)) == ["1", "2", "3"]
        await world.until(lambda: world.rows("SELECT count(*) FROM edgelab_spool") == [(0,)])


def joined(device_id: str, **more: int) -> Message:
    """A device's membership, which comes before its object."""
    member = {"id": device_id, "name": device_id.split("/")[1], **more}
    content = {"event_id": "", "timestamp": 0, "added_devices": [member], "removed_devices": None}
    return wire.new(
        source="devicecontroller", group="twin", operation="update", resource="membership", content=content
    )


async def test_a_device_with_a_spool_says_when_a_value_was_read(tmp_path: Path) -> None:
    def at(moment: int) -> dict[str, Any]:
        return {"actual": {"value": "1", "metadata": {"timestamp": moment}}}

    async with twin_world(tmp_path) as world:
        world.twin.device_changed(device(spool="9"))
        world.twin.device_changed(device("plain"))
        await world.twin.receive(joined("default/early", spool=9))
        now = now_ms()
        past, future = now - 600_000, now + 600_000
        for name, given, taken in (
            ("thermo", past, past),
            ("early", past, past),
            ("thermo", future, None),
            ("thermo", -1, None),
            ("plain", past, None),
        ):
            await world.ask(
                f"default/{name}", "twin/update", {"event_id": str(given), "twin": {"t": at(given)}}
            )
            answer = await world.told(
                f"default/{name}",
                "twin/update/result",
                lambda body, event=given: body["event_id"] == str(event),
            )
            stamp = answer["twin"]["t"]["actual"]["metadata"]["timestamp"]
            assert stamp == taken or (taken is None and now <= stamp <= now_ms())


async def test_a_device_that_leaves_takes_everything_with_it(tmp_path: Path) -> None:
    async with twin_world(tmp_path, connected=False) as world:
        world.twin.device_changed(device(spool="9"))
        await world.update("default/thermo", t="1")
        await world.told("default/thermo", "twin/update/result")
        await world.update("default/thermo", t="2")
        world.twin.device_removed("default/thermo", "u-thermo")
        await world.store.submit([])
        for name in ("device", "device_twin", "edgelab_spool"):
            assert world.rows(f"SELECT count(*) FROM {name}") == [(0,)], name
