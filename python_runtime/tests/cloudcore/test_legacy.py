"""Registrations, and the reports of releases before 1.12, which tell whole statuses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.cloudcore.cloud import Cloud, running
from tests.cloudcore.test_rows import OK, WRAPPED, form

from edgelab.kube.resources import NODES, PODS


@pytest.fixture
async def cloud(tmp_path: Path) -> AsyncIterator[Cloud]:
    async with running(tmp_path) as found:
        yield found


async def test_a_node_registers_with_its_labels_and_the_cloud_s_address(cloud: Cloud) -> None:
    edge = await cloud.join()
    body = {"metadata": {"labels": {"node-role.kubernetes.io/edge": "", "a": "b"}}, "spec": {}}
    for resource in ("null/node/edge1", "default/nodestatus/edge1"):
        answer = await edge.ask(resource, "insert", body)
        assert form(answer) == (WRAPPED if resource.startswith("null") else OK)
        node = cloud.api.one(NODES, "edge1")
        assert node["metadata"]["labels"] == body["metadata"]["labels"]
        assert node["metadata"]["annotations"]["cloudcore"] == "127.0.0.1"
        await cloud.api.delete(NODES, "edge1")
        await edge.closed()
        edge = await cloud.dial()
    await edge.close()


async def test_an_old_node_s_report_keeps_what_is_the_cloud_s(cloud: Cloud) -> None:
    await cloud.node()
    kept = {"volumesAttached": [{"name": "v"}], "daemonEndpoints": {"kubeletEndpoint": {"Port": 10351}}}
    await cloud.api.patch(NODES, "edge1", {"status": kept}, subresource="status")
    edge = await cloud.join()
    status = {
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10350}},
        "volumesAttached": [],
        "phase": "Running",
    }
    extra = {"nvidia.com/gpu": [{"name": "0"}]}
    report = {"UID": "", "Status": status, "ExtendResources": extra}
    assert (await edge.ask("default/nodestatus/edge1", "update", report)).value() == OK
    node = cloud.api.one(NODES, "edge1")
    assert node["status"] == {**kept, "phase": "Running"}
    assert node["metadata"]["annotations"]["nvidia.com/gpu"] == '[{"name":"0"}]'
    await edge.close()


async def test_an_old_node_s_report_of_a_pod_moves_no_times_and_ends_a_pod_that_is_over(cloud: Cloud) -> None:
    await cloud.node()
    pod = await cloud.pod()
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    before = {"startTime": "2026-01-01T00:00:00Z", "conditions": [ready], "phase": "Running"}
    await cloud.api.patch(PODS, "web", {"status": before}, "default", subresource="status")
    edge = await cloud.join()
    told = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-02-02T00:00:00Z"}
    uid = pod["metadata"]["uid"]
    running_status = {"phase": "Running", "startTime": "2026-02-02T00:00:00Z", "conditions": [told]}
    report = {"UID": uid, "Name": "web", "Status": running_status}
    assert (await edge.ask("default/podstatus/web", "update", report)).value() == OK
    assert cloud.api.one(PODS, "web")["status"] == before
    await cloud.api.delete(PODS, "web", "default", options={"gracePeriodSeconds": 30})
    assert (await edge.ask("default/podstatus/web", "update", report)).value() == OK
    assert cloud.api.one(PODS, "web"), "a pod whose containers run is not over"
    report["Status"] = {"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {}}}]}
    assert (await edge.ask("default/podstatus/web", "update", report)).value() == OK
    assert not cloud.api.all(PODS)
    await edge.close()
