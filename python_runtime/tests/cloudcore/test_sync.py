"""SyncController: what it does about each state of a record, what it follows, and when."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.cloudcore.cloud import Api, Cloud, Edge, about, eventually, running
from tests.cloudcore.test_sessions import recorded

from edgelab.cloudcore.cloudhub.tracker import SyncTracker
from edgelab.cloudcore.cluster import CORE, Cluster
from edgelab.cloudcore.synccontroller.controller import PERIOD_SECONDS, SyncController
from edgelab.cloudcore.synccontroller.kinds import Kinds
from edgelab.daemon.clock import SystemClock
from edgelab.kube.interface import Obj
from edgelab.kube.resources import (
    CLUSTER_OBJECT_SYNCS,
    CONFIG_MAPS,
    NODES,
    OBJECT_SYNCS,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    VOLUME_ATTACHMENTS,
)

UID = "11111111-2222-3333-4444-555555555555"
SAME, OLDER = "the object's version", "a version before it"


class Row(NamedTuple):
    """A record, the object that it names (or not), and the message that the node gets about it."""

    status: str | None
    exists: bool
    same_uid: bool = True
    api_version: str = "v1"
    kind: str = "ConfigMap"
    name: str = "cfg"
    sends: str | None = None
    left: bool = True
    """Whether there is a record in the end."""


ROWS = {
    "the version is the object's": Row(SAME, True),
    "the object is newer": Row(OLDER, True, sends="update"),
    "it was sent and never acknowledged": Row("0", True, sends="update"),
    "it was made and never sent": Row("", True, sends="update"),
    "its status was never written": Row(None, True, sends="update"),
    "its version is no number": Row("abc", True, sends="update"),
    "the object is gone": Row(SAME, False, sends="delete", left=False),
    "another object has the name": Row(SAME, True, same_uid=False, sends="delete", left=False),
    "nobody follows the kind": Row(OLDER, True, kind="Unheard"),
    "the record has no kind": Row(OLDER, True, kind=""),
    "the apiVersion is no one's": Row(OLDER, True, api_version="a/b/c"),
    "the record names nothing": Row(OLDER, True, name="", left=False),
}


async def record(api: Api, row: Row, version: str, uid: str) -> None:
    spec = {"objectAPIVersion": row.api_version, "objectKind": row.kind, "objectName": row.name}
    await api.create(OBJECT_SYNCS, {"metadata": {"name": f"edge1.{uid}"}, "spec": spec}, "default")
    if row.status is None:
        return
    text = {SAME: version, OLDER: str(int(version) - 1)}.get(row.status, row.status)
    status = {"status": {"objectResourceVersion": text}}
    await api.patch(OBJECT_SYNCS, f"edge1.{uid}", status, "default", subresource="status")


async def prepared(row: Row, directory: Path) -> tuple[Api, str]:
    """An API with node, object and record; the UID in the record's name. The node has its certificate."""
    api = Api()
    async with running(directory, api) as cloud:
        await cloud.enrol()  # afterwards, since what a newly joined node holds counts for nothing
    await api.create(NODES, {"metadata": {"name": "edge1", "labels": {"node-role.kubernetes.io/edge": ""}}})
    made = await api.create(CONFIG_MAPS, {"metadata": {"name": "cfg"}, "data": {"a": "1"}}, "default")
    uid = made["metadata"]["uid"] if row.same_uid else UID
    await record(api, row, made["metadata"]["resourceVersion"], uid)
    if not row.exists:
        await api.delete(CONFIG_MAPS, "cfg", "default")
    return api, uid


async def settled(cloud: Cloud, edge: Edge) -> None:
    """What SyncController sends when a node connects is under way before anything that comes later."""
    node = cloud.api.one(NODES, "edge1")
    await eventually(lambda: recorded(cloud.api, node["metadata"]["uid"]) not in (None, "0"))
    await edge.ask("k8s/ca.crt", "query")


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
async def test_a_record_and_its_object_are_brought_together(tmp_path: Path, row: Row) -> None:
    api, uid = await prepared(row, tmp_path)
    async with running(tmp_path, api) as cloud:
        edge = await cloud.join()
        if row.sends is not None:
            message = await edge.pushed("default/configmap/cfg", row.sends)
            assert (message.route.source, message.route.group) == ("edgecontroller", "resource")
            content = message.object()
            if row.sends == "delete":
                assert content == {"metadata": {"name": "cfg", "namespace": "default", "uid": uid}}
            else:
                assert content["data"] == {"a": "1"}
                version = content["metadata"]["resourceVersion"]
                await eventually(lambda: recorded(api, uid) == version)
        await settled(cloud, edge)
        about_it = [m for m in edge.received if m.route.resource == "default/configmap/cfg"]
        assert len(about_it) == (row.sends is not None)
        await eventually(lambda: (recorded(api, uid) is not None) is row.left)
        await edge.close()


async def test_records_of_nodes_that_are_gone_go_at_start_and_later(tmp_path: Path) -> None:
    api, uid = await prepared(Row(SAME, True), tmp_path)
    spec = {"objectAPIVersion": "v1", "objectKind": "Node", "objectName": "x"}
    await api.create(OBJECT_SYNCS, {"metadata": {"name": f"lost.node.{UID}"}, "spec": spec}, "default")
    await api.create(CLUSTER_OBJECT_SYNCS, {"metadata": {"name": "lost.node.2"}, "spec": spec})
    async with running(tmp_path, api):
        await eventually(lambda: not recorded(api, UID, "lost.node") and not recorded(api, "2", "lost.node"))
        assert recorded(api, uid) is not None
        await api.delete(NODES, "edge1")
        await eventually(lambda: recorded(api, uid) is None)


VOLUMES = {
    "default/persistentvolumeclaim/claim": (PERSISTENT_VOLUME_CLAIMS, "claim"),
    "null/persistentvolume/vol": (PERSISTENT_VOLUMES, "vol"),
    "default/volumeattachment/att": (VOLUME_ATTACHMENTS, "att"),
}


async def test_volumes_are_followed_once_a_node_has_one(tmp_path: Path) -> None:
    async with running(tmp_path) as cloud:
        await cloud.node()
        claim = {"name": "v", "persistentVolumeClaim": {"claimName": "claim"}}
        await cloud.pod(volumes=[claim])
        spec: Obj = {"claimRef": {"namespace": "default", "name": "claim"}, "nodeName": "edge1"}
        for resource, name in VOLUMES.values():
            namespace = "default" if resource.namespaced else None
            await cloud.api.create(resource, {"metadata": {"name": name}, "spec": spec}, namespace)
        edge = await cloud.join()
        await edge.pushed("default/pod/web", "insert")
        assert not cloud.api.watchers.get(PERSISTENT_VOLUME_CLAIMS)
        uids = {}
        for path in VOLUMES:
            metadata = (await edge.ask(path, "query")).object()["metadata"]
            uids[path] = metadata["uid"]
            await eventually(lambda m=metadata: recorded(cloud.api, m["uid"]) == m["resourceVersion"])
        await edge.close()
        await cloud.api.patch(
            PERSISTENT_VOLUME_CLAIMS, "claim", {"status": {"phase": "Bound"}}, "default", subresource="status"
        )
        await cloud.api.delete(PERSISTENT_VOLUMES, "vol")
        await cloud.api.delete(VOLUME_ATTACHMENTS, "att")
        back = await cloud.dial()
        changed = await back.pushed("default/persistentvolumeclaim/claim", "update")
        assert changed.object()["status"] == {"phase": "Bound"}
        for path in ("null/persistentvolume/vol", "null/volumeattachment/att"):
            await back.pushed(path, "delete")
        gone = [uids["null/persistentvolume/vol"], uids["default/volumeattachment/att"]]
        await eventually(lambda: not any(recorded(cloud.api, uid) for uid in gone))
        await back.close()


class Steps(SystemClock):
    """Sleeps that the test ends."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.step = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await self.step.wait()
        self.step.clear()


async def test_every_connected_node_is_looked_at_each_five_seconds() -> None:
    api, clock = Api(), Steps()
    cluster = Cluster(api, CORE)
    connected = ["edge1"]
    tracker, kinds = SyncTracker(api), Kinds(api, cluster)
    controller = SyncController(
        tracker,
        kinds,
        cluster[NODES],
        None,
        lambda: connected,
        clock=clock,  # type: ignore[arg-type]
    )
    seen: list[str] = []
    controller.reconcile = seen.append  # type: ignore[method-assign]
    task = asyncio.create_task(controller.run())
    await eventually(lambda: clock.slept == [PERIOD_SECONDS])
    assert seen == []
    clock.step.set()
    await eventually(lambda: len(clock.slept) == 2)
    assert seen == ["edge1"]
    connected.append("edge2")
    clock.step.set()
    await eventually(lambda: len(clock.slept) == 3)
    assert (seen, PERIOD_SECONDS) == (["edge1", "edge1", "edge2"], 5.0)
    task.cancel()
    await asyncio.wait([task])


async def test_one_node_s_record_is_none_of_another_s_whose_name_begins_alike(tmp_path: Path) -> None:
    api, _ = await prepared(Row(OLDER, True), tmp_path)
    async with running(tmp_path, api) as cloud:
        await cloud.node("edge1.site")
        other = await cloud.join("edge1.site")
        await other.pushed("null/node/edge1.site", "update")
        await other.ask("k8s/ca.crt", "query")
        assert {about(m)[1] for m in other.received} == {"null/node/edge1.site", "k8s/ca.crt"}
        await other.close()
