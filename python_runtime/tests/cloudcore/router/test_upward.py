"""From nodes: MQTT to REST and to other nodes, programs to REST and back; what nodes are told of rules."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.cloudcore.router.crossing import PORT, Crossing, crossing, upload

from edgelab.cloudcore.router import upward
from edgelab.kube.resources import RULES
from edgelab.protocol import message as wire
from edgelab.protocol.content.users import BASE64

HERE = {"topic": "up", "node_name": "edge1"}


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Crossing]:
    async with crossing(tmp_path, restTimeout=5) as made:
        await made.endpoints()
        yield made


async def test_a_payload_is_posted_as_it_is_and_a_failure_is_counted_not_repeated(place: Crossing) -> None:
    edge = await place.joined()
    await place.rule("up", HERE, {"resource": f"{place.target.url}/sink"})
    subscribe = await edge.pushed("default/up", "subscribe")
    assert (subscribe.route.source, subscribe.route.group) == ("router_eventbus", "user")
    assert bytes(subscribe.content) == b"null"
    await edge.send(upload("default/up", '{"msg":"hello up"}'))
    await place.counted("up", 1, 0)
    (got,) = place.target.got
    assert (got.method, got.path, got.body) == ("POST", "/sink", b'{"msg":"hello up"}')
    assert got.headers["Content-Length"] == "18"
    assert "Content-Type" not in got.headers
    place.target.status, place.target.answer = 503, b"closed"
    await edge.send(upload("default/up", "second"))
    status = await place.counted("up", 1, 1)
    assert status["errors"] == [f"{place.target.url}/sink: status 503: closed"]
    assert len(place.target.got) == 2


async def test_bytes_of_our_edgecore_arrive_as_they_were_published(place: Crossing) -> None:
    edge = await place.joined(ours=True)
    await place.rule("up", HERE, {"resource": f"{place.target.url}/sink"})
    assert (await edge.pushed("default/up", "subscribe")).value() == {"binary": True}
    message = upload("default/up", base64.b64encode(b"\xff\x00").decode())
    message.header.type = BASE64
    await edge.send(message)
    await place.counted("up", 1, 0)
    assert place.target.got[0].body == b"\xff\x00"


async def test_messages_of_one_topic_keep_their_order_and_nothing_is_lost(place: Crossing) -> None:
    edge = await place.joined()
    await place.rule("up", HERE, {"resource": f"{place.target.url}/sink"})
    for number in range(300):
        await edge.send(upload("default/up", str(number)))
    await place.counted("up", 300, 0)
    assert [int(got.body) for got in place.target.got] == list(range(300))


async def test_a_target_that_hangs_holds_up_neither_other_rules_nor_the_node(
    place: Crossing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upward, "MOST", 8)
    monkeypatch.setattr(upward, "PATIENCE", 0.2)
    edge = await place.joined()
    await place.rule("slow", HERE, {"resource": f"{place.target.url}/slow"})
    await place.rule("quick", {"topic": "q", "node_name": "edge1"}, {"topic": "t", "node_name": "edge1"})
    place.target.held = asyncio.Event()
    for number in range(50):
        await edge.send(upload("default/up", str(number)))
    await edge.send(upload("default/q", "now"))
    assert (await edge.pushed("t", "publish")).value() == "now"
    await edge.ask("edge1/node/edge1", "query")
    await place.until(lambda: place.status("slow").get("failMessages") == 42)
    place.target.held.set()
    await place.counted("slow", 8, 42)
    assert [int(got.body) for got in place.target.got] == list(range(8))
    assert place.router._upward._size == 0


async def test_a_target_that_is_dead_is_an_error_at_once(place: Crossing) -> None:
    edge = await place.joined()
    await place.rule("up", HERE, {"resource": "http://127.0.0.1:1/sink"})
    await edge.send(upload("default/up", "x"))
    status = await place.counted("up", 0, 1)
    assert "http://127.0.0.1:1/sink: Cannot connect" in status["errors"][0]


async def test_a_message_crosses_to_mqtt_and_to_a_service_of_another_node(place: Crossing) -> None:
    edge, other = await place.joined(), await place.joined("edge2")
    await place.rule("bus", HERE, {"topic": "there", "node_name": "edge2"})
    await place.rule("svc", {"topic": "job", "node_name": "edge1"}, {"path": "/jobs", "node_name": "edge2"})
    await edge.send(upload("default/up", "over"))
    assert (await other.pushed("there", "publish")).value() == "over"
    await place.counted("bus", 1, 0)
    await edge.send(upload("default/job", "do it"))
    call = await other.pushed(f"{PORT}:/jobs", "POST")
    assert base64.b64decode(call.value()["body"]) == b"do it"
    content = {"header": {}, "status_code": 500, "body": ""}
    reply = wire.new(
        source="servicebus", group="user", operation="upload", resource="", content=content, parent_id=call.id
    )
    await other.send(reply)
    status = await place.counted("svc", 0, 1)
    assert status["errors"] == [f"{PORT}:/jobs: status 500"]
    await other.close()
    await edge.send(upload("default/up", "nobody"))
    status = await place.counted("bus", 1, 1)
    assert status["errors"] == ["cloudcore doesn't have session for node:edge2"]


async def test_a_program_at_the_edge_gets_the_targets_answer_and_the_target_the_raw_envelope(
    place: Crossing,
) -> None:
    edge = await place.joined()
    url = "http://in.the/cloud"
    await place.rule(
        "out", {"target_url": url, "node_name": "edge1"}, {"resource": f"{place.target.url}/sink"}
    )
    assert (await edge.pushed(url, "start")).route.source == "router_servicebus"
    envelope = json.dumps({"method": "POST", "targetURL": url, "payload": {"k": "v"}}).encode()
    question = upload(url, base64.b64encode(envelope).decode(), "servicebus")
    await edge.send(question)
    answer = await edge.wait(lambda message: message.parent_id == question.id)
    assert (answer.route.source, answer.route.group) == ("servicebus", "user")
    assert (answer.route.operation, answer.route.resource) == ("response", url)
    assert answer.value() == '{"ok":true}'
    assert place.target.got[0].body == envelope
    await place.counted("out", 1, 0)
    await place.delete("out")
    assert (await edge.pushed(url, "stop")).route.source == "router_servicebus"


@pytest.mark.parametrize("ours", [True, False])
async def test_a_failure_is_told_to_our_edgecore_and_left_to_time_out_at_gos(
    place: Crossing, ours: bool
) -> None:
    edge = await place.joined(ours=ours)
    url = "http://in.the/cloud"
    await place.rule("out", {"target_url": url, "node_name": "edge1"}, {"resource": place.target.url})
    place.target.status, place.target.answer = 418, b"tea"
    question = upload(url, "e30=", "servicebus")
    await edge.send(question)
    await place.counted("out", 0, 1)
    if ours:
        answer = await edge.wait(lambda message: message.parent_id == question.id)
        assert answer.route.operation == "error"
        assert "status 418: tea" in answer.value()
    else:
        await edge.ask("edge1/node/edge1", "query")
        assert not any(message.parent_id == question.id for message in edge.received)


async def test_a_node_that_was_away_hears_of_all_its_rules_when_it_connects(place: Crossing) -> None:
    await place.cloud.node()
    await place.rule("up", HERE, {"resource": place.target.url})
    await place.rule("gone", {"topic": "gone", "node_name": "edge1"}, {"resource": place.target.url})
    await place.rule("out", {"target_url": "http://x", "node_name": "edge1"}, {"resource": place.target.url})
    await place.delete("gone")
    edge = await place.joined()
    await edge.pushed("default/up", "subscribe")
    await edge.pushed("http://x", "start")
    await edge.pushed("default/gone", "unsubscribe")
    again = await place.cloud.dial("edge1")
    await again.pushed("default/up", "subscribe")


async def test_a_topic_that_no_rule_is_for_any_more_is_taken_back(place: Crossing) -> None:
    edge = await place.joined()
    for topic in ("SYS/dis/upload_records", "$hw/events/upload/x", "default/user/x", "default/old"):
        await edge.send(upload(topic, "x"))
    await edge.pushed("default/old", "unsubscribe")
    others = [message for message in edge.received if message.route.operation == "unsubscribe"]
    assert [message.route.resource for message in others] == ["default/old"]


async def test_a_rule_may_not_feed_itself_and_needs_what_its_ends_need(place: Crossing) -> None:
    here = {"topic": "default/up", "node_name": "edge1"}
    wrong = {
        "loop": (HERE, here, "would feed itself"),
        "nowhere": (HERE, {"topic": "t"}, "targetResource.node_name"),
        "wild": ({"topic": "a/#", "node_name": "edge1"}, {"resource": place.target.url}, "wildcards"),
        "noturl": (HERE, {"resource": "ftp://x"}, "no http or https URL"),
    }
    for name, (source, to, why) in wrong.items():
        await place.rule(name, source, to, wait=False)
        await place.until(lambda name=name: ("default", name) in place.table.problems)
        assert why in place.table.problems["default", name]


async def test_counters_of_two_cloudcores_add_up_and_outlive_an_api_that_is_away(place: Crossing) -> None:
    edge = await place.joined()
    await place.rule("up", HERE, {"resource": place.target.url})
    place.cloud.api.broken = "rules"
    await edge.send(upload("default/up", "x"))
    await place.until(lambda: len(place.target.got) == 1)
    status = {"status": {"successMessages": 10, "failMessages": 3, "errors": ["older"]}}
    place.cloud.api.broken = ""
    await place.cloud.api.patch(RULES, "up", status, "default")
    assert (await place.counted("up", 11, 3))["errors"] == ["older"]
