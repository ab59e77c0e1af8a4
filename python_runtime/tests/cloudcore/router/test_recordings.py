"""What a Go CloudCore and a Go EdgeCore said about rules: our CloudCore says and understands the same.

Identifiers and times differ. Two differences are meant: `stop` names the URL as it is (the original's
`http:/host` matches nothing at the edge), and REST targets get the envelope instead of its base64 text.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.cloudcore.cloud import Edge
from tests.cloudcore.router.crossing import PORT, Crossing, crossing
from tests.cloudcore.stage import messages, shape

from edgelab.protocol.message import Message

HEADERS = {
    "Accept": "*/*",
    "Content_Type": "application/x-www-form-urlencoded",
    "User_Agent": "curl/7.88.1",
    "Accept_Encoding": "",
}


def recorded(name: str, *, cloud: bool) -> list[Message]:
    return [m for down, m in messages(name) if down is cloud and m.route.group == "user"]


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Crossing]:
    async with crossing(tmp_path, restTimeout=5) as made:
        await made.endpoints()
        yield made


async def comes(edge: Edge, wanted: Message) -> None:
    await edge.wait(lambda message: shape(message) == shape(wanted), 10)


async def test_rules_are_told_and_taken_back_as_recorded(place: Crossing) -> None:
    edge = await place.joined()
    await place.rule("up", {"topic": "up", "node_name": "edge1"}, {"resource": place.target.url})
    await comes(edge, *recorded("19-router-rules-create", cloud=True))
    await place.delete("up")
    await comes(edge, *recorded("23-router-rules-delete", cloud=True))


async def test_rest_to_eventbus_as_recorded(place: Crossing) -> None:
    edge = await place.joined()
    await place.rule("down", {"path": "/down"}, {"topic": "down"})
    for path, message in zip(
        ("", "/sub/path"), recorded("20-router-rest-to-eventbus", cloud=True), strict=True
    ):
        answer = await place.ask(f"/edge1/default/down{path}", message.data())
        assert answer[:2] == (200, b"message delivered")
        await comes(edge, message)
    assert (await place.ask("/edge1/default/nomatch"))[0] == 404


async def test_eventbus_to_rest_as_recorded(place: Crossing) -> None:
    edge = await place.joined()
    await place.rule("up", {"topic": "up", "node_name": "edge1"}, {"resource": place.target.url})
    for message in recorded("21-router-eventbus-to-rest", cloud=False):
        await edge.send(message)
    await place.counted("up", 1, 0)
    assert [got.body for got in place.target.got] == [b'{"msg":"hello up"}']


def services() -> list[tuple[Message, Message]]:
    """Calls with the answers of the recorded edge, each kind once."""
    found = {}
    for name in ("22-router-rest-to-servicebus", "37-servicebus"):
        calls = {m.id: m for m in recorded(name, cloud=True)}
        for reply in recorded(name, cloud=False):
            if call := calls.get(reply.parent_id):
                found[name, call.route.resource] = (call, reply)
    assert len(found) == 3
    return list(found.values())


@pytest.mark.parametrize(("call", "reply"), services())
async def test_calls_of_services_as_recorded(place: Crossing, call: Message, reply: Message) -> None:
    edge = await place.joined()
    await place.rule("svc", {"path": "/svc"}, {"path": "/target"})
    wanted = call.value()
    headers = dict(HEADERS)
    if "X-Test" in wanted["header"]:
        headers["X_Test"] = "1"
    body = base64.b64decode(wanted["body"])
    asking = asyncio.create_task(place.ask("/edge1/default/svc", body, **headers))
    got = await edge.wait(lambda message: message.route.source == "router_servicebus")
    content = got.value()
    assert content["header"].pop("Accept-Encoding", None) in (None, [""])  # the client's library adds it
    assert content == wanted
    assert got.route.resource == call.route.resource.replace(
        "1:", f"{PORT}:", call.route.resource.startswith("1:")
    )
    await edge.send(answering(reply, got.id))
    status, text, seen = await asking
    if reply.route.operation:
        answer: dict[str, Any] = reply.value()
        assert (status, text) == (answer["status_code"], base64.b64decode(answer["body"]))
        assert seen["Date"] == answer["header"]["Date"][0]
    else:
        assert (status, text) == (502, b"error to call service\n")


def answering(reply: Message, parent: str) -> Message:
    reply.header.parent_msg_id = parent
    return reply


async def test_a_programs_upload_as_recorded(place: Crossing) -> None:
    edge = await place.joined()
    (upload,) = (m for m in recorded("37-servicebus", cloud=False) if not m.parent_id)
    start, response = (
        next(m for m in recorded("37-servicebus", cloud=True) if m.route.operation == operation)
        for operation in ("start", "response")
    )
    place.target.answer = response.data()
    source = {"target_url": upload.route.resource, "node_name": "edge1"}
    await place.rule("out", source, {"resource": place.target.url})
    await comes(edge, start)
    await edge.send(upload)
    await comes(edge, response)
    assert place.target.got[0].body == base64.b64decode(upload.value())
