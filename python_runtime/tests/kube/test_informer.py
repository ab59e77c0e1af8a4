"""The informer against a server that drops, forgets and restarts.

Covers: coherence of events over every kind of interruption. Excludes: selectors, which the server
evaluates (see the client's tests for their transport).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web
from tests.kube.server import MisbehavingServer

from edgelab.kube import informer as module
from edgelab.kube.client import HttpClient
from edgelab.kube.informer import Informer
from edgelab.kube.interface import Obj
from edgelab.kube.resources import CONFIG_MAPS


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(module, "LONGEST_DELAY", 0.05)


class Seen:
    """What a handler was told: `ADDED a`."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.pairs: list[tuple[Obj | None, Obj]] = []

    def __call__(self, event_type: str, old: Obj | None, new: Obj) -> None:
        self.events.append(f"{event_type} {new['metadata']['name']}")
        self.pairs.append((old, new))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
async def informer(client: HttpClient, server: MisbehavingServer, seen: Seen) -> AsyncIterator[Informer]:
    server.put("a", k="1")
    server.put("b")
    informer = Informer(client, CONFIG_MAPS, "default")
    informer.add_handler(seen)
    task = asyncio.create_task(informer.run())
    async with asyncio.timeout(60):
        await informer.wait_synced()
    yield informer
    task.cancel()
    await asyncio.wait([task])


async def test_store_and_handlers_follow_the_server(
    informer: Informer, server: MisbehavingServer, seen: Seen
) -> None:
    server.put("a", k="2")
    server.put("c")
    server.remove("b")
    await until(lambda: len(seen.events) == 5)
    assert seen.events == ["ADDED a", "ADDED b", "MODIFIED a", "ADDED c", "DELETED b"]
    old, new = seen.pairs[2]
    assert old is not None
    assert (old["data"], new["data"]) == ({"k": "1"}, {"k": "2"})
    assert set(informer.store) == {("default", "a"), ("default", "c")}


async def test_a_dropped_watch_goes_on_where_it_was(
    informer: Informer, server: MisbehavingServer, seen: Seen
) -> None:
    for number in range(5):
        server.put(f"x{number}")
        await until(lambda number=number: f"ADDED x{number}" in seen.events)
        server.drop_watches()
    await until(lambda: len(seen.events) == 7)
    assert len(set(seen.events)) == 7
    assert server.lists == 1


async def test_changes_during_an_outage_are_delivered_once(
    informer: Informer, server: MisbehavingServer, seen: Seen
) -> None:
    await server.stop()
    await until(lambda: informer.last_error is not None)
    server.put("a", k="3")
    server.remove("b")
    server.put("c")
    server.forget()
    await server.start()
    await until(lambda: len(seen.events) == 5)
    await asyncio.sleep(0.1)
    assert sorted(seen.events[2:]) == ["ADDED c", "DELETED b", "MODIFIED a"]
    assert informer.last_error is None


async def test_a_watch_that_is_open_again_ends_the_outage_though_nothing_changes(
    informer: Informer, server: MisbehavingServer, seen: Seen
) -> None:
    await server.stop()
    await until(lambda: informer.last_error is not None)
    await server.start()
    await until(lambda: informer.last_error is None)
    assert seen.events == ["ADDED a", "ADDED b"]
    assert server.lists == 1


async def test_forgotten_history_is_listed_again_without_repeating_it(
    informer: Informer, server: MisbehavingServer, seen: Seen
) -> None:
    server.forget()
    server.drop_watches()
    server.put("c")
    await until(lambda: "ADDED c" in seen.events)
    assert seen.events == ["ADDED a", "ADDED b", "ADDED c"]
    assert server.lists == 2


async def test_an_object_replaced_while_away_is_deleted_then_added(
    informer: Informer, server: MisbehavingServer, seen: Seen
) -> None:
    await server.stop()
    first = server.objects["a"]["metadata"]["uid"]
    server.remove("a")
    server.put("a")
    server.forget()
    await server.start()
    await until(lambda: len(seen.events) == 4)
    assert seen.events[2:] == ["DELETED a", "ADDED a"]
    assert seen.pairs[2][1]["metadata"]["uid"] == first
    assert informer.store["default", "a"]["metadata"]["uid"] != first


async def test_a_refusal_at_start_is_remembered_and_overcome(
    client: HttpClient, server: MisbehavingServer
) -> None:
    status = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "configmaps is forbidden"}
    server.answer = web.json_response(status, status=403)
    informer = Informer(client, CONFIG_MAPS, "default")
    task = asyncio.create_task(informer.run())
    async with asyncio.timeout(60):
        await informer.wait_synced()
    assert server.lists == 2
    task.cancel()
    await asyncio.wait([task])


async def test_a_late_handler_is_told_what_is_there(informer: Informer) -> None:
    late = Seen()
    informer.add_handler(late)
    assert late.events == ["ADDED a", "ADDED b"]


async def test_a_failing_handler_costs_nobody_else_an_event(
    informer: Informer, server: MisbehavingServer, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event_type: str, old: Obj | None, new: Obj) -> None:
        raise ValueError("broken handler")

    informer.add_handler(broken)
    late = Seen()
    informer.add_handler(late)
    server.put("c")
    await until(lambda: "ADDED c" in late.events)
    assert "broken handler" in caplog.text


async def test_a_quiet_collection_costs_no_requests(informer: Informer, server: MisbehavingServer) -> None:
    before = len(server.requests)
    await asyncio.sleep(0.3)
    assert len(server.requests) <= before + 1
