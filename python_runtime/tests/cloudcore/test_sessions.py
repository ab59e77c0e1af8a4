"""Nodes come, register, get their objects reliably, go away and come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.cloudcore.cloud import Api, Cloud, about, eventually, running
from websockets.exceptions import InvalidStatus

from edgelab.kube.resources import (
    CLUSTER_OBJECT_SYNCS,
    CONFIG_MAPS,
    NODES,
    OBJECT_SYNCS,
    PODS,
)
from edgelab.protocol import message as wire


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    async with running(tmp_path) as found:
        yield found


def recorded(api: Api, uid: str, node: str = "edge1") -> str | None:
    """The version that the ObjectSync of an object shows."""
    for kind in (OBJECT_SYNCS, CLUSTER_OBJECT_SYNCS):
        for obj in api.all(kind):
            if obj["metadata"]["name"] == f"{node}.{uid}":
                return str((obj.get("status") or {}).get("objectResourceVersion"))
    return None


async def test_a_node_joins_registers_and_gets_its_own_object_back(cloud: Cloud) -> None:
    edge = await cloud.join()
    body = {"metadata": {"name": "edge1", "labels": {"node-role.kubernetes.io/edge": ""}}, "spec": {}}
    answer = await edge.ask("null/node/edge1", "insert", body)
    assert answer.route.source == "edgecontroller"
    content = answer.object()
    assert content["Err"] is None
    assert content["Object"]["metadata"]["annotations"]["cloudcore"] == "127.0.0.1"
    pushed = await edge.pushed("null/node/edge1", "update")
    assert pushed.object()["kind"] == "Node"
    node = cloud.api.one(NODES, "edge1")
    await eventually(lambda: recorded(cloud.api, node["metadata"]["uid"]) == pushed.header.resourceversion)
    again = await edge.ask("null/node/edge1", "insert", body)
    assert again.object()["Err"]["ErrStatus"]["reason"] == "AlreadyExists"
    await edge.close()


async def test_a_pod_goes_down_and_is_recorded_when_acknowledged(cloud: Cloud) -> None:
    await cloud.node()
    edge = await cloud.join()
    node = cloud.api.one(NODES, "edge1")["metadata"]
    await eventually(lambda: recorded(cloud.api, node["uid"]) == node["resourceVersion"])
    edge.acknowledging = False
    pod = await cloud.pod()
    message = await edge.pushed("default/pod/web", "insert")
    uid = pod["metadata"]["uid"]
    assert message.header.resourceversion == pod["metadata"]["resourceVersion"]
    assert message.object()["apiVersion"] == "v1"
    assert recorded(cloud.api, uid) is not None, "the record is there before the object is sent"
    await edge.acknowledge(message)
    await eventually(lambda: recorded(cloud.api, uid) == pod["metadata"]["resourceVersion"])
    sync = next(o for o in cloud.api.all(OBJECT_SYNCS) if o["metadata"]["name"] == f"edge1.{uid}")
    assert sync["spec"] == {"objectAPIVersion": "v1", "objectKind": "Pod", "objectName": "web"}
    await edge.close()


async def test_one_message_at_a_time_without_a_window_and_more_with_one(cloud: Cloud) -> None:
    for name in ("edge1", "edge2"):
        await cloud.node(name)
        for number in range(3):
            await cloud.pod(f"{name}-{number}", name)
    slow = await cloud.join("edge1", acknowledging=False)
    wide = await cloud.join("edge2", acknowledging=False, headers={"edgelab-window": "16"})
    await eventually(lambda: len(wide.received) >= 4)
    assert len(slow.received) == 1
    await slow.close()
    await wide.close()


async def test_a_pod_deleted_while_the_node_is_away_is_deleted_at_once_when_it_is_back(cloud: Cloud) -> None:
    await cloud.node()
    edge = await cloud.join()
    pod = await cloud.pod()
    await edge.pushed("default/pod/web", "insert")
    await eventually(
        lambda: recorded(cloud.api, pod["metadata"]["uid"]) == pod["metadata"]["resourceVersion"]
    )
    await edge.close()
    await cloud.api.delete(PODS, "web", "default", options={"gracePeriodSeconds": 0})
    await cloud.pod("new")
    back = await cloud.join()
    gone = await back.pushed("default/pod/web", "delete", 2)
    assert gone.object()["metadata"] == {
        "name": "web",
        "namespace": "default",
        "uid": pod["metadata"]["uid"],
    }
    await back.pushed("default/pod/new", "insert", 2)
    await eventually(lambda: recorded(cloud.api, pod["metadata"]["uid"]) is None)
    await back.close()


async def test_a_node_that_lost_its_store_gets_everything_again(cloud: Cloud) -> None:
    await cloud.node()
    edge = await cloud.join()
    pod = await cloud.pod()
    await edge.pushed("default/pod/web", "insert")
    version = pod["metadata"]["resourceVersion"]
    await eventually(lambda: recorded(cloud.api, pod["metadata"]["uid"]) == version)
    await edge.close()
    back = await cloud.join(headers={"edgelab-resend": "1"})
    again = await back.wait(lambda m: m.route.resource == "default/pod/web")
    assert again.object()["metadata"]["uid"] == pod["metadata"]["uid"]
    await eventually(lambda: recorded(cloud.api, pod["metadata"]["uid"]) == version)
    await back.close()


async def test_a_restarted_cloudcore_sends_only_what_changed_meanwhile(tmp_path: Path) -> None:
    async with running(tmp_path) as cloud:
        await cloud.node()
        edge = await cloud.join()
        for name in ("same", "changed", "deleted"):
            pod = await cloud.pod(name)
            await eventually(
                lambda pod=pod: (
                    recorded(cloud.api, pod["metadata"]["uid"]) == pod["metadata"]["resourceVersion"]
                )
            )
        await edge.close()
        api = cloud.api
    await api.patch(PODS, "changed", {"metadata": {"labels": {"new": "label"}}}, "default")
    await api.delete(PODS, "deleted", "default", options={"gracePeriodSeconds": 0})
    async with running(tmp_path, api) as cloud:
        edge = await cloud.join()
        await edge.wait(lambda m: m.route.resource == "default/pod/changed")
        await edge.pushed("default/pod/deleted", "delete")
        await asyncio.sleep(0.1)
        assert "default/pod/same" not in {about(m)[1] for m in edge.received}
        await edge.close()


async def test_authority_and_token_survive_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as cloud:
        before = (cloud.pki.ca.cert_der, cloud.pki.server.cert_pem, await cloud.token())
        api = cloud.api
    async with running(tmp_path, api) as cloud:
        assert (cloud.pki.ca.cert_der, cloud.pki.server.cert_pem, await cloud.token()) == before
    async with running(tmp_path, api, advertiseAddress=["127.0.0.1", "10.9.8.7"]) as cloud:
        assert cloud.pki.ca.cert_der == before[0]
        assert cloud.pki.server.cert_pem != before[1]


async def test_a_big_message_in_fragments_is_put_together(cloud: Cloud) -> None:
    """The original's edges end a frame after 4,082 bytes."""
    await cloud.node()
    edge = await cloud.join()
    text = "x" * 20_000
    patch = wire.new(
        source="edged",
        group="meta",
        operation="patch",
        resource="null/nodepatch/edge1",
        content=f'{{"status":{{"phase":"{text}"}}}}',
    )
    data = wire.encode(patch)
    assert edge.connection is not None
    await edge.connection.send([data[at : at + 4082] for at in range(0, len(data), 4082)], text=True)
    answer = await edge.wait(lambda message: message.parent_id == patch.id)
    assert answer.object()["Object"]["status"]["phase"] == text
    await edge.close()


async def test_a_changed_config_map_reaches_the_nodes_that_use_it(cloud: Cloud) -> None:
    await cloud.node()
    edge = await cloud.join()
    await cloud.api.create(CONFIG_MAPS, {"metadata": {"name": "cfg"}, "data": {"a": "1"}}, "default")
    await cloud.api.create(CONFIG_MAPS, {"metadata": {"name": "other"}}, "default")
    init = {"name": "i", "envFrom": [{"configMapRef": {"name": "cfg"}}]}
    await cloud.pod(initContainers=[init])
    await edge.pushed("default/pod/web", "insert")
    answer = await edge.ask("default/configmap/cfg", "query")
    assert answer.object()["data"] == {"a": "1"}
    uid = answer.object()["metadata"]["uid"]
    await eventually(lambda: recorded(cloud.api, uid) == answer.header.resourceversion)
    await cloud.api.patch(CONFIG_MAPS, "cfg", {"data": {"a": "2"}}, "default")
    await cloud.api.patch(CONFIG_MAPS, "other", {"data": {"a": "2"}}, "default")
    assert (await edge.pushed("default/configmap/cfg", "update")).object()["data"] == {"a": "2"}
    await cloud.api.delete(CONFIG_MAPS, "cfg", "default")
    await edge.pushed("default/configmap/cfg", "delete")
    assert not [m for m in edge.received if "other" in m.route.resource]
    await edge.close()


async def test_the_newest_connection_wins_and_the_older_one_cannot_end_it(cloud: Cloud) -> None:
    await cloud.node()
    old = await cloud.join()
    new = await cloud.dial()
    await old.closed()
    await cloud.pod()
    await new.pushed("default/pod/web", "insert")
    await asyncio.sleep(0.05)
    assert new.connection is not None
    assert (await new.ask("k8s/ca.crt", "query")).value() == "kube ca"
    await new.close()


async def test_a_node_beyond_the_limit_is_refused_and_a_known_one_is_not(tmp_path: Path) -> None:
    async with running(tmp_path, nodeLimit=1) as cloud:
        first = await cloud.join()
        with pytest.raises(InvalidStatus) as refused:
            await cloud.join("edge2")
        assert refused.value.response.status_code == 503
        again = await cloud.dial()
        await first.closed()
        await again.close()


async def test_a_silent_node_loses_its_session_and_one_that_keeps_alive_does_not(tmp_path: Path) -> None:
    async with running(tmp_path, keepaliveInterval=0.8) as cloud:
        silent, lively = await cloud.join(), await cloud.join("edge2")

        async def live() -> None:
            while True:
                ping = wire.new(
                    source="websocket",
                    group="resource",
                    operation="keepalive",
                    resource="node",
                    content="ping",
                )
                await lively.send(ping)
                await asyncio.sleep(0.05)

        task = asyncio.create_task(live())
        await silent.closed()
        await asyncio.sleep(0.3)
        assert (await lively.ask("k8s/ca.crt", "query")).value() == "kube ca"
        task.cancel()
        await lively.close()


async def test_deleting_a_node_ends_its_session_and_its_records(cloud: Cloud) -> None:
    await cloud.node()
    edge = await cloud.join()
    pod = await cloud.pod()
    await eventually(lambda: recorded(cloud.api, pod["metadata"]["uid"]) not in (None, "0"))
    await cloud.api.delete(NODES, "edge1")
    await edge.closed()
    await eventually(lambda: not cloud.api.all(OBJECT_SYNCS) and not cloud.api.all(CLUSTER_OBJECT_SYNCS))


async def test_a_node_that_joins_anew_gets_everything_again(cloud: Cloud) -> None:
    await cloud.node()
    edge = await cloud.join()
    pod = await cloud.pod()
    uid = pod["metadata"]["uid"]
    await eventually(lambda: recorded(cloud.api, uid) == pod["metadata"]["resourceVersion"])
    await edge.close()
    cloud.request().cert_file.unlink()
    again = await cloud.join()
    await again.wait(lambda m: m.route.resource == "default/pod/web")
    await again.close()


async def test_a_node_that_was_there_before_is_marked_with_its_cloudcore(cloud: Cloud) -> None:
    await cloud.node()
    edge = await cloud.join()
    mark = {"cloudcore": "127.0.0.1"}
    await eventually(lambda: cloud.api.one(NODES, "edge1")["metadata"].get("annotations") == mark)
    await edge.close()
