"""The objects that a MetaServer shows: what overtakes what, and what is told of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgelab.edgecore.metamanager import objects
from edgelab.edgecore.metamanager.changes import BYTES, ENTRIES, Change, ChangeLog, Expired
from edgelab.edgecore.metamanager.kinds import Kinds
from edgelab.edgecore.metamanager.mirror import Mirror
from edgelab.edgecore.store import META_TABLES, MIRROR_TABLES, Store
from edgelab.protocol import message as wire
from edgelab.protocol.content.applications import Key
from edgelab.protocol.resource import parse

SERVICES = Key("", "v1", "services", "default")


def service(name: str, version: int, uid: str = "u", **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "default", "uid": uid, "resourceVersion": str(version)}
    return {"kind": "Service", "apiVersion": "v1", "metadata": {**metadata, "labels": labels}}


class World:
    def __init__(self, store: Store) -> None:
        self.store = store
        self.mirror = Mirror(store, "edge1")
        self.told: list[tuple[str, str, int]] = []
        self.mirror.listen(lambda c: self.told.append((c.type, c.key.rsplit("/", 1)[1], c.version)))

    async def push(self, operation: str, obj: dict[str, Any], resource: str = "") -> None:
        resource = resource or f"default/service/{obj['metadata']['name']}"
        message = wire.new(
            source="dynamiccontroller", group="resource", operation=operation, resource=resource, content=obj
        )
        work = self.mirror.pushed(message, parse(resource), obj)
        if work is not None and (done := self.mirror.submit(work)) is not None:
            await done
        await asyncio.sleep(0)

    async def listed(self, version: int, *items: dict[str, Any]) -> None:
        done = self.mirror.replace(SERVICES, items, version, whole=True)
        if done is not None:
            await done
        await asyncio.sleep(0)

    def names(self) -> list[str]:
        return [key.rsplit("/", 1)[1] for key, _, _ in self.mirror.read(SERVICES)]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with Store(tmp_path / "edgecore.db", (*META_TABLES, *MIRROR_TABLES)) as store:
        yield World(store)


async def test_what_is_older_than_what_is_stored_changes_nothing(world: World) -> None:
    await world.push("insert", service("a", 5))
    await world.push("update", service("a", 4))
    await world.push("update", service("a", 5))
    await world.push("update", service("a", 6))
    assert world.told == [("ADDED", "a", 5), ("MODIFIED", "a", 6)]


async def test_a_late_list_does_not_bring_back_what_was_deleted(world: World) -> None:
    await world.push("insert", service("a", 5))
    await world.push("delete", service("a", 8))
    await world.listed(7, service("a", 5), service("b", 6))
    assert world.names() == ["b"]
    assert world.told == [("ADDED", "a", 5), ("DELETED", "a", 8), ("ADDED", "b", 6)]
    await world.push("insert", service("a", 9, uid="another"))
    assert world.names() == ["a", "b"]


async def test_a_list_ends_what_is_not_in_it_but_not_what_is_newer(world: World) -> None:
    for name, version in (("old", 3), ("new", 12)):
        await world.push("insert", service(name, version))
    await world.listed(10, service("kept", 4))
    assert world.names() == ["kept", "new"]
    assert ("DELETED", "old", 10) in world.told


async def test_a_deletion_of_another_object_of_that_name_is_not_this_ones(world: World) -> None:
    await world.push("insert", service("a", 5, uid="new"))
    await world.push("delete", service("a", 4, uid="old"))
    assert world.names() == ["a"]
    gone = {"metadata": {"name": "a", "namespace": "default", "uid": "new"}}
    await world.push("delete", gone, "default/service/a")  # as SyncController sends it: without a kind
    assert world.names() == []
    assert world.told[-1][:2] == ("DELETED", "a")


async def test_an_object_made_again_is_deleted_and_added(world: World) -> None:
    await world.push("insert", service("a", 5, uid="one"))
    await world.push("update", service("a", 9, uid="two"))
    assert [kind for kind, _, _ in world.told] == ["ADDED", "DELETED", "ADDED"]


async def test_kinds_that_a_message_does_not_name_are_known_by_their_type(world: World) -> None:
    metadata = {"name": "thermo", "namespace": "default", "resourceVersion": "5"}
    await world.push("update", {"metadata": metadata}, "default/device/thermo")
    found = world.mirror.get(Key("devices.kubeedge.io", "v1beta1", "devices", "default", "thermo"))
    assert found is not None
    assert msgspec.json.decode(found)["kind"] == "Device"
    await world.push("update", {"metadata": metadata}, "default/stranger/thermo")
    await world.push("update", {"metadata": metadata}, "default/podstatus/thermo")
    assert len(world.told) == 1


async def test_what_could_not_be_written_is_not_told_and_comes_again(world: World) -> None:
    message = wire.new(
        source="x", group="resource", operation="insert", resource="default/service/a", content=None
    )
    work = world.mirror.pushed(message, parse("default/service/a"), service("a", 5))
    assert work is not None
    failed = world.mirror.submit(work._replace(statements=[("INSERT INTO nowhere VALUES (1)", ())]))
    assert failed is not None
    await asyncio.wait({failed})
    await asyncio.sleep(0)
    assert failed.exception() is not None
    assert world.told == []
    await world.push("insert", service("a", 5))
    assert world.told == [("ADDED", "a", 5)]


async def test_a_store_is_known_again_after_a_restart(world: World) -> None:
    await world.push("insert", service("a", 5))
    again = Mirror(world.store, "edge1")
    assert again.log.revision == 5
    with pytest.raises(Expired):
        again.log.since(4)
    assert again.log.since(5) == []


async def test_pods_that_were_stored_before_are_shown(world: World) -> None:
    pod = {"metadata": {"name": "web", "namespace": "default", "resourceVersion": "7"}}
    row = ("default/pod/web", "pod", msgspec.json.encode(pod).decode())
    await world.store.submit([("INSERT INTO meta VALUES (?, ?, ?)", row)])
    world.mirror.seed()
    await world.store.submit([])
    found = objects.value(world.store, "/core/v1/pods/default/web")
    assert found is not None
    assert msgspec.json.decode(found)["kind"] == "Pod"


def test_a_watch_goes_on_in_the_order_of_arrival() -> None:
    log = ChangeLog(floor=3)
    for version in (5, 10, 9, 11):
        log.append(Change("ADDED", str(version), version))
    assert [change.version for change in log.since(10)] == [9, 11]
    assert [change.version for change in log.since(7)] == [10, 9, 11]
    assert log.since(50) == []
    with pytest.raises(Expired, match="too old resource version: 2"):
        log.since(2)


def test_only_so_much_is_remembered() -> None:
    log = ChangeLog(floor=0)
    for version in range(1, ENTRIES + 3):
        log.append(Change("ADDED", "k", version))
    with pytest.raises(Expired):
        log.since(1)
    assert len(log.since(2)) == ENTRIES
    log.append(Change("ADDED", "k", 9000, b"x" * (BYTES + 1)))
    assert len(log.since(9000)) == 0
    with pytest.raises(Expired):
        log.since(ENTRIES)


def test_resources_of_kinds() -> None:
    kinds = Kinds()
    for kind, resource in (
        ("Endpoints", "endpoints"),
        ("EndpointSlice", "endpointslices"),
        ("NetworkPolicy", "networkpolicies"),
        ("Gateway", "gateways"),
        ("Widget", "widgets"),
        ("Address", "addresses"),
    ):
        assert kinds.resource(kind) == resource
    assert kinds.kind("widgets") == "Widget"
    kinds.learn("leopards", "SnowLeopard")
    assert kinds.resource("SnowLeopard") == "leopards"
    assert kinds.kind("leopards") == "SnowLeopard"
