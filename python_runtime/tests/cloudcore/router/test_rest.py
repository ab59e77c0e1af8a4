"""From REST to nodes: MQTT and services there, as a Go EdgeCore's wire shows it."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.cloudcore.cloud import Edge
from tests.cloudcore.router.crossing import PORT, Crossing, crossing

from edgelab.kube.resources import RULE_ENDPOINTS, RULES
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message

MIB = 1 << 20


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Crossing]:
    async with crossing(tmp_path, restTimeout=5) as made:
        await made.endpoints()
        yield made


def published(message: Message) -> bool:
    return message.route.operation == "publish"


def asked(message: Message) -> bool:
    return message.route.source == "router_servicebus" and message.route.operation not in ("start", "stop")


async def answer(edge: Edge, status: int = 200, body: bytes = b"hello", **header: str) -> Message:
    """Answer the next call as EdgeCore does; gives the call."""
    question = await edge.wait(asked)
    edge.received.remove(question)
    content = {
        "header": {name.replace("_", "-"): [value] for name, value in header.items()},
        "status_code": status,
        "body": base64.b64encode(body).decode(),
    }
    await edge.send(
        wire.new(
            source="servicebus",
            group="user",
            operation="upload",
            resource="",
            content=content,
            parent_id=question.id,
        )
    )
    return question


async def test_a_post_is_published_under_the_rules_topic_without_the_namespace(place: Crossing) -> None:
    edge = await place.joined()
    await place.rule("down", {"path": "/down"}, {"topic": "down"})
    assert (await place.ask("/edge1/default/down", b'{"msg":"hello down"}'))[:2] == (
        200,
        b"message delivered",
    )
    message = await edge.wait(published)
    assert (message.route.source, message.route.group) == ("router_eventbus", "user")
    assert (message.route.resource, message.value()) == ("down", '{"msg":"hello down"}')
    assert message.header.type == ""
    assert (await place.ask("/edge1/default/down/sub/path?a=b", b"sub"))[0] == 200
    message = await edge.wait(lambda m: m.route.resource == "down/sub/path")
    assert message.value() == "sub"
    await place.counted("down", 2, 0)


async def test_a_service_answers_with_its_own_status_headers_and_body_once(place: Crossing) -> None:
    edge = await place.joined()
    await place.rule("svc", {"path": "/svc"}, {"path": "/target"})
    body = bytes(range(256))
    asking = asyncio.create_task(
        place.ask(
            "/edge1/default/svc/a%20b?c=d:e", body, X_Test="1", Connection="keep-alive, X-Hop", X_Hop="1"
        )
    )
    question = await answer(edge, 409, b"\xff\x00no", X_Answer="yes", Connection="close")
    status, text, headers = await asking
    assert (status, text, headers["X-Answer"]) == (409, b"\xff\x00no", "yes")
    assert question.route.resource == f"{PORT}:/target/a%20b?c=d%3Ae"
    content = question.value()
    assert set(content) == {"header", "body", "method", "url"}
    assert (content["method"], content["url"]) == ("POST", "")
    assert base64.b64decode(content["body"]) == body
    assert content["header"]["X-Test"] == ["1"]
    assert content["header"]["Content-Length"] == ["256"]
    assert not {"X-Hop", "Connection", "Host"} & set(content["header"])
    assert not [message for message in edge.received if asked(message)], "it is not asked again"
    await place.counted("svc", 1, 0)


async def test_our_own_edgecore_is_told_how_long_a_service_may_take(place: Crossing) -> None:
    edge = await place.joined(ours=True)
    await place.rule("svc", {"path": "/svc"}, {"path": "/target"})
    asking = asyncio.create_task(place.ask("/edge1/default/svc"))
    question = await answer(edge)
    assert 3 < question.value()["timeout"] < 5
    assert (await asking)[0] == 200


async def test_a_go_edges_failure_without_an_operation_arrives(place: Crossing) -> None:
    edge = await place.joined()
    await place.rule("svc", {"path": "/svc"}, {"path": "/target"})
    asking = asyncio.create_task(place.ask("/edge1/default/svc"))
    question = await edge.wait(asked)
    text = base64.b64encode(b"error to call service").decode()
    content = {"header": {"Server": ["kubeedge-edgecore"]}, "status_code": 404, "body": text}
    failure = wire.new(
        source="servicebus", group="user", operation="", resource="", content=content, parent_id=question.id
    )
    await edge.send(failure)
    assert (await asking)[:2] == (502, b"error to call service\n")
    status = await place.counted("svc", 0, 1)
    assert status["errors"] == ["error to call service"]


async def test_an_answer_of_another_node_or_nonsense_is_no_answer(place: Crossing) -> None:
    edge, other = await place.joined(), await place.joined("edge2")
    await place.rule("svc", {"path": "/svc"}, {"path": "/target"})
    asking = asyncio.create_task(place.ask("/edge1/default/svc"))
    question = await edge.wait(asked)
    for node, content in (
        (other, {"header": {}, "status_code": 200, "body": ""}),
        (edge, {"status_code": "x"}),
    ):
        reply = wire.new(
            source="servicebus",
            group="user",
            operation="upload",
            resource="",
            content=content,
            parent_id=question.id,
        )
        await node.send(reply)
    assert (await asking)[:2] == (502, b"invalid response: the node's reply cannot be read\n")


async def test_a_service_that_does_not_answer_is_504_and_nothing_is_left_behind(tmp_path: Path) -> None:
    async with crossing(tmp_path, restTimeout=1) as place:
        await place.endpoints()
        edge = await place.joined()
        await place.rule("svc", {"path": "/svc"}, {"path": "/target"})
        status, text, _ = await place.ask("/edge1/default/svc")
        assert (status, text) == (504, b"node edge1 did not answer in time\n")
        assert len([message for message in edge.received if asked(message)]) == 1
        assert len(place.router._deliveries) == 0
        assert place.router._rest.budget.used == 0


async def test_a_node_that_goes_away_meanwhile_is_told_at_once(place: Crossing) -> None:
    edge = await place.joined()
    await place.rule("svc", {"path": "/svc"}, {"path": "/target"})
    asking = asyncio.create_task(place.ask("/edge1/default/svc"))
    await edge.wait(asked)
    await edge.close()
    status, text, _ = await asking
    assert status == 502
    assert b"the connection of node edge1 ended meanwhile" in text


async def test_a_client_that_leaves_leaves_nothing_behind(place: Crossing) -> None:
    edge = await place.joined()
    await place.rule("svc", {"path": "/svc"}, {"path": "/target"})
    asking = asyncio.create_task(place.ask("/edge1/default/svc"))
    await edge.wait(asked)
    asking.cancel()
    await place.until(lambda: len(place.router._deliveries) == 0)
    await place.until(lambda: place.router._rest.budget.used == 0)


async def test_a_node_that_is_away_is_503_and_one_that_is_not_there_404(place: Crossing) -> None:
    await place.cloud.node("edge1")
    await place.rule("down", {"path": "/down"}, {"topic": "down"})
    status, text, headers = await place.ask("/edge1/default/down")
    assert (status, text) == (503, b"cloudcore doesn't have session for node:edge1\n")
    assert int(headers["Retry-After"]) > 0
    assert (await place.ask("/nonode/default/down"))[:2] == (404, b'there is no node "nonode"\n')
    await place.counted("down", 0, 2)


async def test_bodies_up_to_12_mib_pass_and_larger_ones_are_413(place: Crossing) -> None:
    edge = await place.joined()
    await place.rule("down", {"path": "/down"}, {"topic": "down"})
    assert (await place.ask("/edge1/default/down", b"a" * (12 * MIB)))[0] == 200
    message = await edge.wait(published)
    assert len(message.value()) == 12 * MIB
    status, text, _ = await place.ask("/edge1/default/down", b"a" * (12 * MIB + 1))
    assert status == 413
    assert b"request body too large" in text

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(13):
            yield b"a" * MIB

    async with place.client.post(f"{place.cloud.rest}/edge1/default/down", data=stream()) as response:
        assert response.status == 413
    assert place.router._rest.budget.used == 0


async def test_bytes_that_are_no_text_reach_mqtt_of_our_edgecore_and_are_refused_for_gos(
    place: Crossing,
) -> None:
    ours, go = await place.joined("edge1", ours=True), await place.joined("edge2")
    await place.rule("down", {"path": "/down"}, {"topic": "down"})
    body = b"\xff\xfe\x00"
    assert (await place.ask("/edge1/default/down", body))[0] == 200
    message = await ours.wait(published)
    assert (message.header.type, base64.b64decode(message.value())) == ("base64", body)
    status, text, _ = await place.ask("/edge2/default/down", body)
    assert status == 415
    assert b"no UTF-8" in text
    assert not any(published(message) for message in go.received)


async def test_the_most_specific_rule_gets_a_message(place: Crossing) -> None:
    edge = await place.joined()
    paths = ("/a", "/a/b", "/a/{id}", "/a/{id}/c")
    for number, path in enumerate(paths):
        await place.rule(f"r{number}", {"path": path}, {"topic": f"t{number}"})
    wanted = {
        "/a": "t0",
        "/a/": "t0",
        "/a/b": "t1",
        "/a/b/c": "t1/c",
        "/a/x": "t2/a/x",
        "/a/x/c": "t3/a/x/c",
        "/a/x/d": "t2/a/x/d",
        "/%61/%62": "t1",
    }
    for path, topic in wanted.items():
        assert (await place.ask(f"/edge1/default{path}"))[0] == 200
        assert (await edge.wait(published)).route.resource == topic, path
        edge.received.clear()
    for path in ("/x/a", "/ab", "/a1"):
        assert (await place.ask(f"/edge1/default{path}"))[:2] == (
            404,
            b"Request error: no rule has this path\n",
        )
    assert (await place.ask("/edge1/other/a"))[0] == 404


async def test_changed_rules_and_endpoints_that_come_later_count(tmp_path: Path) -> None:
    async with crossing(tmp_path) as place:
        edge = await place.joined()
        await place.endpoint("rest")
        await place.rule("down", {"path": "/down"}, {"topic": "first"}, wait=False)
        await place.until(lambda: "no RuleEndpoint 'eventbus'" in str(place.table.problems))
        assert (await place.ask("/edge1/default/down"))[0] == 404
        await place.endpoint("eventbus")
        await place.until(lambda: place.table.get(("default", "down")) is not None)
        await place.cloud.api.patch(
            RULES, "down", {"spec": {"targetResource": {"topic": "second"}}}, "default"
        )
        await place.until(lambda: place.table.get(("default", "down")).target == "second")
        assert (await place.ask("/edge1/default/down"))[0] == 200
        assert (await edge.wait(published)).route.resource == "second"
        await place.cloud.api.delete(RULE_ENDPOINTS, "eventbus", "default")
        await place.until(lambda: place.table.get(("default", "down")) is None)
        assert (await place.ask("/edge1/default/down"))[0] == 404


async def test_a_rule_that_takes_anothers_messages_waits_for_its_end(place: Crossing) -> None:
    await place.rule("first", {"path": "/down"}, {"topic": "first"})
    await place.rule("second", {"path": "down/"}, {"topic": "second"}, wait=False)
    await place.until(lambda: "rule first of namespace default" in str(place.table.problems))
    await place.delete("first")
    await place.until(lambda: place.table.get(("default", "second")) is not None)
    assert not place.table.problems


async def test_large_messages_do_not_hold_up_what_keeps_the_node_going(place: Crossing) -> None:
    """Of ten large messages at once, an answer of the cloud passes nine."""
    edge = await place.joined()
    await place.rule("down", {"path": "/down"}, {"topic": "down"})
    large = [asyncio.create_task(place.ask("/edge1/default/down", b"a" * 4 * MIB)) for _ in range(10)]
    await edge.wait(published)
    await edge.ask("edge1/node/edge1", "query")
    before = sum(published(message) for message in edge.received)
    assert before < 10
    assert {(await task)[0] for task in large} == {200}
