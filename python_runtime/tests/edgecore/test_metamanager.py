"""MetaManager between a hub and edged, both played by the test, on a real store."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgelab.daemon.clock import SYSTEM, rfc3339
from edgelab.edgecore.interfaces import Obj, Offline, RemoteError
from edgelab.edgecore.metamanager import rows
from edgelab.edgecore.metamanager.manager import MetaManager
from edgelab.edgecore.store import META_TABLES, Store
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message


class Hub:
    """Records what is sent; answers with what the test prepared for a resource."""

    def __init__(self) -> None:
        self.connected = True
        self.sent: list[Message] = []
        self.answers: dict[str, Any] = {}
        self.listeners: list[Callable[[bool], None]] = []

    async def send(self, message: Message) -> None:
        if not self.connected:
            raise Offline("offline")
        self.sent.append(message)

    async def request(self, message: Message, deadline: float) -> Message:
        await self.send(message)
        answer = wire.reply(message, self.answers[message.route.resource], source="edgecontroller")
        answer.header.resourceversion = "5"
        return answer

    def on_connection(self, listener: Callable[[bool], None]) -> None:
        self.listeners.append(listener)

    def connect(self, connected: bool) -> None:
        self.connected = connected
        for listener in self.listeners:
            listener(connected)

    def requests(self) -> list[tuple[str, str]]:
        return [(m.route.operation, m.route.resource) for m in self.sent if m.route.operation != "response"]


class Pods:
    """Records what edged would be told."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def pod_changed(self, pod: Obj) -> None:
        self.told.append(("changed", pod["metadata"]["name"]))

    def pod_removed(self, namespace: str, name: str, uid: str) -> None:
        self.told.append(("removed", namespace, name, uid))

    def config_changed(self, kind: str, namespace: str, name: str) -> None:
        self.told.append((kind, namespace, name))

    def node_changed(self, node: Obj) -> None:
        self.told.append(("node", node["metadata"]["name"]))


class World:
    def __init__(self, store: Store, hub: Hub, pods: Pods, meta: MetaManager) -> None:
        self.store, self.hub, self.pods, self.meta = store, hub, pods, meta

    async def push(self, operation: str, resource: str, content: Any) -> Message:
        message = wire.new(
            source="edgecontroller", group="resource", operation=operation, resource=resource, content=content
        )
        await self.meta.receive(message)
        async with asyncio.timeout(60):
            while not any(sent.parent_id == message.id for sent in self.hub.sent):
                await asyncio.sleep(0.001)
        return next(sent for sent in self.hub.sent if sent.parent_id == message.id)


@contextlib.asynccontextmanager
async def running(path: Path) -> AsyncIterator[World]:
    hub, pods = Hub(), Pods()
    async with Store(path, META_TABLES) as store:
        meta = MetaManager(store, hub, SYSTEM, query_deadline=1)
        meta.attach(pods=pods)
        task = asyncio.create_task(meta.run())
        await asyncio.sleep(0)
        try:
            yield World(store, hub, pods, meta)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path / "e.db") as found:
        yield found


POD = {"metadata": {"name": "a", "namespace": "default", "uid": "u1"}, "spec": {}}
NOT_FOUND = {
    "ErrStatus": {"status": "Failure", "message": 'secret "s" not found', "reason": "NotFound", "code": 404}
}


async def test_an_update_may_be_the_first_news_of_an_object(world: World) -> None:
    answer = await world.push("update", "default/pod/a", POD)
    assert (answer.route.operation, answer.value()) == ("response", "OK")
    assert world.meta.pods() == [POD]
    assert world.pods.told == [("changed", "a")]


async def test_pods_are_there_after_a_restart_without_the_cloud(tmp_path: Path) -> None:
    async with running(tmp_path / "e.db") as world:
        await world.push("insert", "default/pod/a", POD)
    async with running(tmp_path / "e.db") as world:
        world.hub.connected = False
        assert world.meta.pods() == [POD]


async def test_a_deletion_with_nothing_but_the_identity_removes_the_pod(world: World) -> None:
    await world.push("insert", "default/pod/a", POD)
    await world.push("delete", "default/pod/a", {"metadata": POD["metadata"]})
    assert world.meta.pods() == []
    assert world.pods.told[-1] == ("removed", "default", "a", "u1")


class Follower:
    """Whoever follows devices."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def device_changed(self, device: Obj) -> None:
        self.told.append(("device", device["metadata"]["name"]))

    def device_removed(self, device_id: str, uid: str) -> None:
        self.told.append(("device removed", f"{device_id} {uid}"))


async def test_a_device_reaches_its_follower_whoever_sent_it(world: World) -> None:
    follower = Follower()
    world.meta.attach(devices=follower)
    obj = {"metadata": {"name": "x", "namespace": "default", "uid": "u"}}
    await world.push("update", "default/device/x", obj)  # of source edgecontroller, as SyncController's are
    await world.push("delete", "default/device/x", obj)
    assert follower.told == [("device", "x"), ("device removed", "default/x u")]


async def test_content_that_is_a_text_with_json_is_read_through(world: World) -> None:
    await world.push("insert", "default/pod/a", msgspec.json.encode(POD).decode())
    assert world.meta.pods() == [POD]


async def test_what_cannot_be_stored_is_answered_with_an_error(world: World) -> None:
    answer = await world.push("insert", "default/pod/a", None)
    assert (answer.route.operation, answer.route.source) == ("error", "metamanager")


async def test_a_secret_is_asked_for_once_acknowledged_and_then_read_from_the_store(world: World) -> None:
    secret = {"kind": "Secret", "metadata": {"name": "s"}, "data": {}}
    world.hub.answers["default/secret/s"] = secret
    assert await world.meta.secret("default", "s") == secret
    assert world.hub.sent[-1].route.operation == "response"
    world.hub.connected = False
    assert await world.meta.secret("default", "s") == secret


async def test_an_error_answer_is_raised_and_never_stored(world: World) -> None:
    world.hub.answers["default/secret/s"] = NOT_FOUND
    with pytest.raises(RemoteError) as refused:
        await world.meta.secret("default", "s")
    assert (refused.value.reason, refused.value.code) == ("NotFound", 404)
    assert rows.value(world.store, "default/secret/s") is None
    world.hub.answers["default/secret/s"] = {"metadata": {"name": "s"}}
    assert await world.meta.secret("default", "s") == {"metadata": {"name": "s"}}


async def test_an_error_that_another_edgecore_stored_is_not_taken_for_a_secret(world: World) -> None:
    await world.store.submit([rows.put("default/secret/s", "secret", msgspec.json.encode(NOT_FOUND))])
    world.hub.answers["default/secret/s"] = {"metadata": {"name": "s"}}
    assert await world.meta.secret("default", "s") == {"metadata": {"name": "s"}}


async def test_registering_twice_is_told_by_its_reason(world: World) -> None:
    node = {"metadata": {"name": "edge1"}}
    world.hub.answers["null/node/edge1"] = {"Object": node, "Err": None}
    assert await world.meta.create_node(node) == node
    assert world.meta.node("edge1") == node
    exists = {"status": "Failure", "reason": "AlreadyExists", "code": 409, "message": "exists"}
    world.hub.answers["null/node/edge1"] = {"Object": {}, "Err": {"ErrStatus": exists}}
    with pytest.raises(RemoteError) as refused:
        await world.meta.create_node(node)
    assert refused.value.reason == "AlreadyExists"


async def test_an_error_without_text_is_an_error_all_the_same(world: World) -> None:
    world.hub.answers["kube-node-lease/lease/edge1"] = {"Object": None, "Err": {}}
    with pytest.raises(RemoteError):
        await world.meta.get_lease("edge1")


async def test_a_patch_is_sent_as_text(world: World) -> None:
    world.hub.answers["default/podpatch/a"] = {"Object": POD, "Err": None}
    await world.meta.patch_pod_status("default", "a", {"status": {"phase": "Running"}})
    assert world.hub.sent[-1].value() == '{"status":{"phase":"Running"}}'


async def test_the_newest_status_waits_for_the_connection_even_over_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path / "e.db") as world:
        world.hub.connected = False
        for phase in ("Pending", "Running"):
            with pytest.raises(Offline):
                await world.meta.patch_pod_status("default", "a", {"status": {"phase": phase}})
    async with running(tmp_path / "e.db") as world:
        world.hub.answers["default/podpatch/a"] = {"Object": POD, "Err": None}
        world.hub.connect(True)
        async with asyncio.timeout(60):
            while rows.value(world.store, "default/podpatch/a") is not None:
                await asyncio.sleep(0.001)
        assert [m.value() for m in world.hub.sent] == ['{"status":{"phase":"Running"}}']


async def test_a_pod_is_deleted_by_its_uid_and_stays_stored_until_the_cloud_says_so(world: World) -> None:
    await world.push("insert", "default/pod/a", POD)
    world.hub.answers["default/pod/a"] = "OK"
    await world.meta.delete_pod("default", "a", "u1")
    assert world.hub.sent[-1].value() == {"gracePeriodSeconds": 0, "preconditions": {"uid": "u1"}}
    assert world.meta.pods() == [POD]


def token_request(uid: str = "u1") -> Obj:
    return {
        "spec": {
            "audiences": ["https://kubernetes.default.svc"],
            "expirationSeconds": 3600,
            "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "a", "uid": uid},
        }
    }


def token(left: float) -> Obj:
    end = SYSTEM.now() + dt.timedelta(seconds=left)
    return {**token_request(), "status": {"token": f"t{left}", "expirationTimestamp": rfc3339(end)}}


async def test_a_token_serves_until_a_fifth_of_its_life_is_left(world: World) -> None:
    where = "default/serviceaccounttoken/sa"
    world.hub.answers[where] = token(3600)
    await world.meta.service_account_token("default", "sa", token_request())
    await world.meta.service_account_token("default", "sa", token_request())
    assert world.hub.requests() == [("query", where)]
    await world.meta.service_account_token("default", "sa", token_request("u2"))
    assert len(world.hub.requests()) == 2


async def test_a_worn_token_serves_offline_until_it_ends(world: World) -> None:
    where = "default/serviceaccounttoken/sa"
    world.hub.answers[where] = token(600)
    await world.meta.service_account_token("default", "sa", token_request())
    world.hub.connected = False
    found = await world.meta.service_account_token("default", "sa", token_request())
    assert found["status"]["token"] == "t600"
    with pytest.raises(Offline):
        await world.meta.service_account_token("default", "sa", token_request("u2"))


async def test_events_go_up_without_an_answer_as_insert_and_then_update(tmp_path: Path) -> None:
    event = {"metadata": {"name": "web.1", "namespace": "default"}, "reason": "Started"}
    async with Store(tmp_path / "edge.db", META_TABLES) as store:
        hub = Hub()
        meta = MetaManager(store, hub, SYSTEM, query_deadline=1)
        await meta.send_event(event, create=True)
        await meta.send_event(event, create=False)
    assert hub.requests() == [("insert", "default/event/web.1"), ("update", "default/event/web.1")]
    assert hub.sent[0].object() == event
