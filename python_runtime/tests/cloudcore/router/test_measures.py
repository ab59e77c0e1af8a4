"""The router's numbers on the monitor address, as Prometheus reads them."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cloudcore.router.crossing import Crossing, crossing, upload
from tests.cloudcore.router.pair import published, rule, two
from tests.cloudcore.router.test_rest import answer, asked
from tests.cloudcore.test_monitor import fetch, values

from edgelab.cloudcore.cloudhub import replicas
from edgelab.protocol import message as wire

UP = {"topic": "up", "node_name": "edge1"}


async def until(place: Crossing, right: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    """The numbers, once they are right."""
    async with asyncio.timeout(30):
        while True:
            status, text = await fetch(place.cloud, "/metrics")
            assert status == 200
            found = {name: n for name, n in values(text).items() if name.startswith("edgelab_router_")}
            if right(found):
                return found
            await asyncio.sleep(0.02)


def messages(found: dict[str, float], source: str, target: str) -> dict[str, float]:
    """Results and how many messages had them."""
    start = f'edgelab_router_messages_total{{source="{source}",target="{target}",result="'
    return {name.removeprefix(start)[:-2]: n for name, n in found.items() if name.startswith(start)}


async def test_messages_are_counted_by_their_ends_and_what_became_of_them(tmp_path: Path) -> None:
    async with crossing(tmp_path, restTimeout=5) as place:
        await place.endpoints()
        edge = await place.joined()
        await place.rule("down", {"path": "/down"}, {"topic": "down"}, rate_limit="1")
        await place.rule("svc", {"path": "/svc"}, {"path": "/target"})
        await place.rule("up", UP, {"resource": f"{place.target.url}/sink"})
        await place.rule(
            "out", {"target_url": "http://x/", "node_name": "edge1"}, {"resource": place.target.url}
        )
        statuses = [
            (await place.ask(f"/{path}"))[0] for path in ("edge1/default/down", "edge1/default/down", "x/y/z")
        ]
        assert statuses == [200, 429, 404]
        asking = asyncio.create_task(place.ask("/edge1/default/svc"))
        await edge.wait(asked)
        found = await until(
            place, lambda found: found['edgelab_router_waiting_messages{queue="answer"}'] == 1
        )
        await answer(edge, 500)
        assert (await asking)[0] == 500
        assert (await place.ask("/nonode/default/svc"))[0] == 404
        await edge.send(upload("default/up", "1"))
        request = wire.new(
            source="servicebus", group="user", operation="upload", resource="http://x/", content={}
        )
        await edge.send(request)
        await until(place, lambda found: messages(found, "servicebus", "rest") == {"delivered": 1})
        place.target.status = 500
        await edge.send(upload("default/up", "2"))
        found = await until(place, lambda found: messages(found, "eventbus", "rest").get("failed") == 1)
        assert messages(found, "rest", "eventbus") == {"delivered": 1, "refused": 1}
        assert messages(found, "rest", "servicebus") == {"delivered": 1, "failed": 1}
        assert messages(found, "rest", "none") == {"refused": 1}
        assert messages(found, "eventbus", "rest") == {"delivered": 1, "failed": 1}
        took = 'edgelab_router_message_seconds_count{source="rest",target="servicebus"}'
        assert found[took] == 2, "what is refused at once is none of them"
        assert not [name for name in found if "edge1" in name or "down" in name or "svc" in name]


async def test_what_waits_is_told_and_what_is_kept_in_bytes(tmp_path: Path) -> None:
    async with crossing(tmp_path) as place:
        await place.endpoints()
        await place.cloud.node()
        await place.rule("kept", {"path": "/kept"}, {"topic": "kept"}, spool="true")
        await place.rule("up", UP, {"resource": place.target.url})
        for body in (b"12345", b"678"):
            assert (await place.ask("/edge1/default/kept", body))[0] == 202
        waiting = "edgelab_router_waiting_messages"
        found = await until(place, lambda _: True)
        assert (found["edgelab_router_spool_bytes"], found[f'{waiting}{{queue="node"}}']) == (8, 2)
        assert messages(found, "rest", "eventbus") == {"kept": 2}
        place.target.held = asyncio.Event()
        edge = await place.joined()
        for number in range(3):
            await edge.send(upload("default/up", str(number)))
        found = await until(place, lambda found: found[f'{waiting}{{queue="target"}}'] == 3)
        place.target.held.set()
        found = await until(place, lambda found: not any(n for name, n in found.items() if waiting in name))
        assert found["edgelab_router_spool_bytes"] == 0
        assert messages(found, "rest", "eventbus") == {"kept": 2, "delivered": 2}


async def test_both_cloudcores_count_what_one_passes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicas, "RENEW_SECONDS", 0.1)
    async with two(tmp_path) as pair:
        edge = await pair.b.joined()
        await rule(pair, "down", {"path": "/down"}, {"topic": "down"})
        await pair.ready()
        assert (await pair.a.ask("/edge1/default/down", b"hello"))[0] == 200
        assert (await pair.a.ask("/edge1/default/down", base64.b64decode(b"/w==")))[0] == 415
        await edge.wait(published)
        for one, direction in ((pair.a, "out"), (pair.b, "in")):
            found = await until(one, lambda _: True)
            passed = {name: n for name, n in found.items() if "passed_on" in name}
            name = f'edgelab_router_passed_on_total{{direction="{direction}",result='
            assert passed == {f'{name}"delivered"}}': 1, f'{name}"failed"}}': 1}
        assert messages(await until(pair.a, lambda _: True), "rest", "eventbus") == {
            "delivered": 1,
            "failed": 1,
        }
        assert not messages(await until(pair.b, lambda _: True), "rest", "eventbus")
