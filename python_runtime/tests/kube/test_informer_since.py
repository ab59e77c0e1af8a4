"""An informer that goes on where an earlier run of its program stood."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from tests.kube.server import MisbehavingServer

from edgelab.kube import informer as module
from edgelab.kube.client import HttpClient
from edgelab.kube.informer import Informer, outstanding
from edgelab.kube.interface import Obj
from edgelab.kube.resources import CONFIG_MAPS


@pytest.fixture(autouse=True)
def _short_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_DELAY", 0.01)
    monkeypatch.setattr(module, "LONGEST_DELAY", 0.05)


class Told:
    """What a handler was told: `a=2`, with `*` for what is of the past."""

    def __init__(self, client: HttpClient, since: str) -> None:
        self.events: list[str] = []
        self.informer = Informer(client, CONFIG_MAPS, "default", since=since)
        self.informer.add_handler(self._on_event)

    def _on_event(self, kind: str, _old: Obj | None, new: Obj) -> None:
        past = "*" if self.informer.replaying else ""
        value = "gone" if kind == "DELETED" else new["data"].get("k", "")
        self.events.append(f"{new['metadata']['name']}={value}{past}")


@contextlib.asynccontextmanager
async def running(client: HttpClient, since: str) -> AsyncIterator[Told]:
    told = Told(client, since)
    task = asyncio.create_task(told.informer.run(), name="informer")
    try:
        async with asyncio.timeout(60):
            await told.informer.wait_synced()
        yield told
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not check():
            await asyncio.sleep(0.005)


def history(server: MisbehavingServer) -> str:
    """Some changes; the version from which on they are new."""
    server.put("a", k="1")
    server.put("b", k="1")
    since = str(server.revision)
    for value in "234":
        server.put("a", k=value)
    server.put("c", k="1")
    server.put("d", k="1")
    server.remove("d")
    server.put("c", k="2")
    return since


async def test_each_change_since_then_is_told_in_order(client: HttpClient, server: MisbehavingServer) -> None:
    since = history(server)
    async with running(client, since) as told:
        assert told.events[:6] == ["a=2*", "a=3*", "c=1*", "d=1*", "d=gone*", "a=4"]
        assert sorted(told.events[6:]) == ["b=1", "c=2"]
        assert set(told.informer.store) == {("default", name) for name in "abc"}
        server.put("b", k="2")
        await until(lambda: told.events[-1] == "b=2")
        assert told.informer.version == str(server.revision)
    assert server.lists == 1


@pytest.mark.parametrize("since", ["100", "999999", "x", ""])
async def test_what_is_not_known_any_more_is_listed(
    client: HttpClient, server: MisbehavingServer, since: str
) -> None:
    """Too old (410), of another history, no number, nothing."""
    server.put("gone", k="1")
    server.remove("gone")
    server.forget()
    history(server)
    async with running(client, since) as told:
        assert sorted(told.events) == ["a=4", "b=1", "c=2"]
        server.put("c", k="3")
        await until(lambda: told.events[-1] == "c=3")


async def test_a_connection_that_breaks_meanwhile_repeats_nothing(
    client: HttpClient, server: MisbehavingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = history(server)
    kept, server.log[:] = list(server.log), [entry for entry in server.log if entry[0] <= int(since) + 2]
    monkeypatch.setattr(module, "REPLAY_SECONDS", 30.0)
    told = Told(client, since)
    task = asyncio.create_task(told.informer.run(), name="informer")
    await until(lambda: told.events == ["a=2*", "a=3*"])
    await server.stop()
    server.log[:] = kept
    await server.start()
    await until(lambda: told.informer.synced)
    task.cancel()
    await asyncio.wait([task])
    assert told.events[:6] == ["a=2*", "a=3*", "c=1*", "d=1*", "d=gone*", "a=4"]
    assert len(told.events) == 8


async def test_what_does_not_come_is_not_waited_for_without_end(
    client: HttpClient, server: MisbehavingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = history(server)
    server.log.clear()
    monkeypatch.setattr(module, "REPLAY_SECONDS", 0.05)
    async with running(client, since) as told:
        assert sorted(told.events) == ["a=4", "b=1", "c=2"]


def test_only_numbers_say_what_is_newer() -> None:
    objects: dict[tuple[str, str], Obj] = {
        ("n", name): {"metadata": {"resourceVersion": at}}
        for name, at in (("a", "9"), ("b", "10"), ("c", "11"), ("d", "x"))
    }
    assert outstanding(objects, "9", "11") == {("n", "b"): "10", ("n", "c"): "11"}
    assert outstanding(objects, "11", "11") == outstanding(objects, "12", "11") == {}
    assert outstanding(objects, "", "11") == outstanding(objects, "9", "y") == {}
