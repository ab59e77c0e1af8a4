"""TaskManager: jobs are told to nodes, their reports become the status, as recorded from the original."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.cloudcore.cloud import Api, Cloud, Edge, eventually, running
from tests.cloudcore.stage import messages

from edgelab.cloudcore.taskmanager import controller
from edgelab.kube.interface import Obj
from edgelab.kube.resources import CONFIG_UPDATE_JOBS, IMAGE_PRE_PULL_JOBS, NODE_UPGRADE_JOBS, NODES
from edgelab.protocol import message as wire
from edgelab.protocol.message import Message
from edgelab.settings.cloudcore import CloudCore

READY = {"conditions": [{"type": "Ready", "status": "True"}]}
NOT_FOUND = 'failed to get node, err: Node "ghost" not found'


def with_jobs(settings: CloudCore) -> None:
    settings.modules.taskManager.enable = True


@pytest.fixture
async def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cloud]:
    monkeypatch.setattr(controller, "SWEEP_SECONDS", 0.05)
    async with running(tmp_path, adjust=with_jobs) as found:
        yield found


async def ready(cloud: Cloud, *names: str) -> None:
    for name in names:
        await cloud.node(name)
        await cloud.api.patch(NODES, name, {"status": READY}, subresource="status")


def status_of(api: Api, kind: Any, name: str) -> Obj:
    found: Obj = api.one(kind, name).get("status") or {}
    return found


async def told(edge: Edge, job: str) -> Message:
    return await edge.wait(lambda m: m.route.group == "taskmanager" and f"/{job}/" in m.route.resource)


async def tell(
    edge: Edge, to: Message, action: str, *, ok: bool = True, reason: str = "", extend: str = ""
) -> None:
    content = {
        "action": action,
        "succ": ok,
        "finishTime": "2026-11-21T09:03:41Z",
        "reason": reason,
        "extend": extend,
    }
    await edge.send(
        wire.new(
            source="websocket",
            group="hub",
            operation="UpdateNodeActionStatus",
            resource=to.route.resource,
            content=content,
        )
    )


async def test_the_recorded_image_jobs_are_told_and_end_as_recorded(cloud: Cloud) -> None:
    await ready(cloud, "edge1")
    edge = await cloud.join()
    recorded = [message for _, message in messages("36-imageprepulljob")]
    asked = [message for message in recorded if message.route.operation == "Check"]
    for name, wanted in zip(("prepull-1", "prepull-2"), asked, strict=True):
        await cloud.api.create(IMAGE_PRE_PULL_JOBS, {"metadata": {"name": name}, "spec": wanted.object()})
        found = await told(edge, name)
        assert (found.route, found.object()) == (wanted.route, wanted.object())
        for report in recorded:
            if report.route.resource == wanted.route.resource and report is not wanted:
                await edge.send(report)

    def over(name: str, phase: str) -> bool:
        return status_of(cloud.api, IMAGE_PRE_PULL_JOBS, name).get("phase") == phase

    await eventually(lambda: over("prepull-1", "Completed") and over("prepull-2", "Failure"))
    [done] = status_of(cloud.api, IMAGE_PRE_PULL_JOBS, "prepull-1")["nodeStatus"]
    assert done["phase"] == "Successful"
    assert [one["action"] for one in done["actionFlow"]] == ["Check", "Pull"]
    assert done["imageStatus"] == [{"image": "docker.io/library/busybox:ref", "status": "True"}]
    failed, ghost = status_of(cloud.api, IMAGE_PRE_PULL_JOBS, "prepull-2")["nodeStatus"]
    assert (failed["phase"], failed["reason"]) == ("Failure", "there were some failures when pulling images")
    assert [one["status"] for one in failed["imageStatus"]] == ["False", "True"]
    assert (ghost["phase"], ghost["reason"]) == ("Failure", NOT_FOUND)
    reason = status_of(cloud.api, IMAGE_PRE_PULL_JOBS, "prepull-2")["reason"]
    assert reason == "the number of failed nodes is 2/2, which exceeds the failure tolerance threshold"


async def test_nodes_take_turns_and_one_that_comes_back_is_told(cloud: Cloud) -> None:
    await ready(cloud, "edge1", "edge2")
    first = await cloud.join("edge1")
    spec = {"version": "v1.22.0", "nodeNames": ["edge1", "edge2"]}
    await cloud.api.create(NODE_UPGRADE_JOBS, {"metadata": {"name": "up"}, "spec": spec})
    asked = await told(first, "up")
    second = await cloud.join("edge2")
    for action in ("Check", "WaitingConfirmation", "BackUp"):
        await tell(first, asked, action)
    await eventually(lambda: len(flow(cloud, "up", 0)) == 3)
    assert not [m for m in second.received if m.route.group == "taskmanager"]
    await tell(first, asked, "Upgrade", extend="v1.21.0,v1.22.0")
    await tell(second, await told(second, "up"), "Check", ok=False, reason="disk")
    await eventually(lambda: status_of(cloud.api, NODE_UPGRADE_JOBS, "up").get("phase") == "Failure")
    one, two = status_of(cloud.api, NODE_UPGRADE_JOBS, "up")["nodeStatus"]
    assert (one["phase"], one["currentVersion"]) == ("Successful", "v1.22.0")
    assert (two["phase"], two["reason"]) == ("Failure", "disk")


def flow(cloud: Cloud, name: str, number: int) -> list[Obj]:
    states = status_of(cloud.api, NODE_UPGRADE_JOBS, name).get("nodeStatus") or [{}, {}]
    found: list[Obj] = states[number].get("actionFlow") or []
    return found


async def test_a_node_that_was_told_and_said_nothing_is_told_again_when_it_is_back(cloud: Cloud) -> None:
    await ready(cloud, "edge1")
    edge = await cloud.join()
    spec = {"nodeNames": ["edge1"], "updateFields": {"modules.edgeHub.heartbeat": "20"}}
    await cloud.api.create(CONFIG_UPDATE_JOBS, {"metadata": {"name": "beat"}, "spec": spec})
    await told(edge, "beat")
    await edge.close()
    back = await cloud.join()
    asked = await told(back, "beat")
    assert asked.object() == spec
    await tell(back, asked, "Check")
    await eventually(
        lambda: bool(status_of(cloud.api, CONFIG_UPDATE_JOBS, "beat")["nodeStatus"][0].get("actionFlow"))
    )
    await back.close()
    third = await cloud.join()
    await tell(third, asked, "BackUp")
    await tell(third, asked, "Update")
    await eventually(lambda: status_of(cloud.api, CONFIG_UPDATE_JOBS, "beat")["phase"] == "Completed")
    assert not [m for m in third.received if m.route.group == "taskmanager"]


async def test_a_node_that_takes_too_long_or_does_not_come_is_given_up(cloud: Cloud) -> None:
    await ready(cloud, "edge1", "edge2")
    edge = await cloud.join()
    spec = {"version": "v1.22.0", "nodeNames": ["edge1", "edge2"], "timeoutSeconds": 1, "concurrency": 2}
    await cloud.api.create(NODE_UPGRADE_JOBS, {"metadata": {"name": "up"}, "spec": spec})
    await told(edge, "up")
    await eventually(lambda: status_of(cloud.api, NODE_UPGRADE_JOBS, "up").get("phase") == "Failure")
    one, two = status_of(cloud.api, NODE_UPGRADE_JOBS, "up")["nodeStatus"]
    assert (one["phase"], one["reason"]) == ("Unknown", "The node task has timed out")
    assert (two["phase"], two["reason"]) == ("Unknown", "the node is not connected to CloudCore")


@pytest.mark.parametrize(
    ("resource", "content"),
    [
        ("operations.kubeedge.io/v1alpha2/nodeupgradejob/up/node/edge2", {"action": "Check", "succ": True}),
        (
            "operations.kubeedge.io/v1alpha2/nodeupgradejob/other/node/edge1",
            {"action": "Check", "succ": True},
        ),
        ("operations.kubeedge.io/v1alpha2/podjob/up/node/edge1", {"action": "Check", "succ": True}),
        ("operations.kubeedge.io/v1alpha2/nodeupgradejob/up/node/edge1", {"action": "Pull", "succ": True}),
        ("operations.kubeedge.io/v1alpha2/nodeupgradejob/up/node/edge1", "no report"),
        ("nonsense", None),
    ],
)
async def test_a_report_that_is_not_the_node_s_or_cannot_be_read_is_complained_of(
    cloud: Cloud, resource: str, content: Any
) -> None:
    await ready(cloud, "edge1", "edge2")
    edge = await cloud.join()
    spec = {"version": "v1.22.0", "nodeNames": ["edge1", "edge2"], "concurrency": 2}
    await cloud.api.create(NODE_UPGRADE_JOBS, {"metadata": {"name": "up"}, "spec": spec})
    await told(edge, "up")
    await edge.send(
        wire.new(
            source="websocket",
            group="hub",
            operation="UpdateNodeActionStatus",
            resource=resource,
            content=content,
        )
    )
    await eventually(lambda: cloud.hub.complaints.counts["JobReportNotTaken"] == 1)
    assert flow(cloud, "up", 0) == flow(cloud, "up", 1) == []


async def test_a_deleted_job_of_the_original_s_is_let_go(cloud: Cloud) -> None:
    finalizers = ["kubeedge.io/nodeupgradejob-controller", "mine"]
    metadata = {"name": "old", "finalizers": finalizers, "deletionTimestamp": "2026-11-21T09:03:41Z"}
    await cloud.api.create(NODE_UPGRADE_JOBS, {"metadata": metadata, "spec": {"version": "v1.22.0"}})
    await eventually(lambda: cloud.api.one(NODE_UPGRADE_JOBS, "old")["metadata"]["finalizers"] == ["mine"])
