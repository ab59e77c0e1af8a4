"""Rules on real processes, with programs that know nothing of one another at both ends."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from tests.component.router.lab import Lab, lab
from tests.edgecore.processes import edgecore, listens

from edgelab.kube.resources import RULES

UP = {"topic": "up", "node_name": "edge1"}
URL = "http://in.the/cloud"


async def down_to_mqtt(lab: Lab) -> None:
    await lab.rule("down", {"path": "/down"}, {"topic": "down"}, ("rest", "eventbus"))
    await eventually(lab, "/edge1/default/down")
    assert await lab.post("/edge1/default/down/sub", b'{"a":1}') == (200, "message delivered")
    await lab.until(lambda: ("down/sub", '{"a":1}') in lab.heard)


async def up_to_rest(lab: Lab) -> None:
    await lab.rule("up", UP, {"resource": f"{lab.target.url}/sink"}, ("eventbus", "rest"))
    await lab.until(lambda: stored(lab, "SELECT topic FROM sub_topics") == ["default/up"])
    for number in range(100):
        lab.publish("default/up", str(number))
    await lab.until(lambda: len(lab.target.got) == 100)
    assert [int(got.body) for got in lab.target.got] == list(range(100))
    await lab.status("up", 100, 0)


async def down_to_a_service(lab: Lab) -> None:
    await lab.rule("svc", {"path": "/svc"}, {"path": "/serve"}, ("rest", "servicebus"))
    await eventually(lab, "/edge1/default/svc")
    lab.service.status = 201
    assert await lab.post("/edge1/default/svc/x?y=z", b"q") == (201, "served")
    assert (lab.service.got[-1].path, lab.service.got[-1].body) == ("/serve/x", b"q")
    large = bytes(range(256)) * 4 * 12 * 1024
    assert await lab.post("/edge1/default/svc", large) == (201, "served")
    assert lab.service.got[-1].body == large
    status, text = await lab.post("/edge1/default/svc", large + b"1")
    assert (status, "request body too large" in text) == (413, True)


async def up_from_a_program(lab: Lab) -> None:
    source = {"target_url": URL, "node_name": "edge1"}
    await lab.rule("out", source, {"resource": f"{lab.target.url}/out"}, ("servicebus", "rest"))
    await listens(lab.bus)
    envelope = {"method": "POST", "targetURL": URL, "payload": {"k": "v"}}
    text = await lab.curl("-d", json.dumps(envelope), f"http://127.0.0.1:{lab.bus}/")
    assert json.loads(text) == {
        "code": 200,
        "msg": "receive response from cloud successfully",
        "body": '{"ok":true}',
    }
    assert json.loads(lab.target.got[-1].body) == envelope


async def from_bus_to_bus(lab: Lab) -> None:
    source, to = {"topic": "cross", "node_name": "edge1"}, {"topic": "crossed", "node_name": "edge1"}
    await lab.rule("cross", source, to, ("eventbus", "eventbus"))
    await lab.until(lambda: "default/cross" in stored(lab, "SELECT topic FROM sub_topics"))
    lab.publish("default/cross", "over")
    await lab.until(lambda: ("crossed", "over") in lab.heard)


async def from_bus_to_a_service(lab: Lab) -> None:
    """Also when the service refuses: then the message counts as failed, and is not sent again."""
    source, to = {"topic": "ask", "node_name": "edge1"}, {"path": "/asked", "node_name": "edge1"}
    await lab.rule("asked", source, to, ("eventbus", "servicebus"))
    await lab.until(lambda: "default/ask" in stored(lab, "SELECT topic FROM sub_topics"))
    lab.service.got.clear()
    lab.service.status = 204
    for number in range(20):
        lab.publish("default/ask", f"question {number}")
    await lab.status("asked", 20, 0)
    assert [(got.method, got.path) for got in lab.service.got] == [("POST", "/asked")] * 20
    assert [got.body.decode() for got in lab.service.got] == [f"question {n}" for n in range(20)]
    lab.service.status = 503
    lab.publish("default/ask", "refused")
    status = await lab.status("asked", 20, 1)
    assert status["errors"] == [f"{lab.service.port}:/asked: status 503"]
    assert len(lab.service.got) == 21


async def what_a_program_cannot_have(lab: Lab) -> None:
    """A target that refuses, and a URL that no rule is for."""
    envelope = {"method": "POST", "targetURL": URL, "payload": "p"}
    lab.target.status, lab.target.answer = 409, b"no room"
    before = len(lab.target.got)
    text = await lab.curl("-d", json.dumps(envelope), f"http://127.0.0.1:{lab.bus}/")
    assert json.loads(text)["code"] == 502
    assert "status 409: no room" in text
    assert len(lab.target.got) == before + 1
    envelope["targetURL"] = "http://no.rule/for"
    text = await lab.curl("-d", json.dumps(envelope), f"http://127.0.0.1:{lab.bus}/")
    assert json.loads(text)["code"] == 400
    await lab.status("out", 1, 1)


async def test_every_way_there_is_works_with_real_programs(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        await down_to_mqtt(made)
        await up_to_rest(made)
        await down_to_a_service(made)
        await up_from_a_program(made)
        await what_a_program_cannot_have(made)
        await from_bus_to_bus(made)
        await from_bus_to_a_service(made)
        for name in ("up", "out", "cross", "asked"):
            await made.api.delete(RULES, name, "default")
        await made.until(lambda: not stored(made, "SELECT topic FROM sub_topics"))
        await made.until(lambda: not stored(made, "SELECT url FROM target_urls"))


async def test_a_node_that_is_away_is_told_of_and_waited_for(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        await down_to_mqtt(made)
        metadata = {"name": "kept", "annotations": {"edgelab.io/spool": "true"}}
        spec = {
            "source": "rest",
            "sourceResource": {"path": "/kept"},
            "target": "eventbus",
            "targetResource": {"topic": "kept"},
        }
        await made.api.create(RULES, {"metadata": metadata, "spec": spec}, "default")
        made.edge.child.terminate()
        assert await made.edge.child.wait() == 0
        await eventually(made, "/edge1/default/kept", 202)
        head = await made.curl("-D", "-", "-d", "x", f"{made.rest}/edge1/default/down")
        assert head.startswith("HTTP/1.1 503 ")
        assert "Retry-After: " in head
        assert "cloudcore doesn't have session for node:edge1" in head
        await made.rule("up", UP, {"resource": made.target.url}, ("eventbus", "rest"))
        for number in range(20):
            assert (await made.post("/edge1/default/kept", str(number).encode()))[0] == 202
        async with edgecore(made.config) as again:
            await again.wait_for_line("connected to CloudCore")
            await made.until(lambda: ("kept", "19") in made.heard)
            kept = [payload for topic, payload in made.heard if topic == "kept" and payload]
            assert kept == [str(number) for number in range(20)]
            await made.until(lambda: stored(made, "SELECT topic FROM sub_topics") == ["default/up"])
            made.publish("default/up", "late")
            await made.status("up", 1, 0)


async def eventually(lab: Lab, path: str, status: int = 0) -> None:
    """Wait for the rule of this path: the first answer that is not 404."""
    for _ in range(200):
        found, _ = await lab.post(path)
        if (found == status) if status else (found != 404):
            return
    raise AssertionError(f"{path}: no rule")


def stored(lab: Lab, sql: str) -> list[str]:

    with sqlite3.connect(f"file:{lab.config.parent}/edgecore.db?mode=ro", uri=True) as database:
        return [row[0] for row in database.execute(sql)]
